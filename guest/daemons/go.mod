module hullkit/guest/daemons

go 1.25
