module hullkit/guest/init

go 1.25
