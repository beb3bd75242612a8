module loupe/bench

go 1.26.0

require (
	github.com/golang-jwt/jwt/v5 v5.3.1
	loupe v0.0.0
)

require (
	github.com/gobwas/httphead v0.1.0 // indirect
	github.com/gobwas/ws v1.5.0 // indirect
)

replace loupe => ..
