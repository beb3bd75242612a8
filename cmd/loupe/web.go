package main

import (
	"net/url"

	"loupe/internal/web"
)

// webConfig is what the web app must know of the server.
func webConfig(c *config) web.Config {
	return web.Config{
		Categories: c.categories, MaxUpload: c.maxUpload, UserClaim: c.userClaim, Local: c.local(), ImageOrigins: imageOrigins(c),
	}
}

// imageOrigins are those, besides our own, whence pictures may come: ours are on disk or with Cloudinary, and processed
// ones wherever the AI service keeps them, which is with Cloudinary or itself.
func imageOrigins(c *config) []string {
	var origins []string
	if c.cloudinaryURL != "" || c.aiServiceURL != "" {
		origins = append(origins, "https://*.cloudinary.com")
	}
	if u, err := url.Parse(c.aiServiceURL); err == nil && u.Host != "" {
		origins = append(origins, u.Scheme+"://"+u.Host)
	}
	return origins
}
