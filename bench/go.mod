module loupe/bench

go 1.26.0
