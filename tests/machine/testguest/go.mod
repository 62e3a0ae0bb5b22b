module hullkit.test/testguest

go 1.24
