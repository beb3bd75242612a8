package cloudinarytest

import (
	"net/http"
	"strconv"
	"strings"
)

// A delivery is an answer that caches may hold.
type delivery struct {
	publicID string
	status   int
	kind     string
	body     []byte
}

// deliver shows a picture to whoever knows its address. Any version leads to the latest picture, but each address is
// cached for itself.
func (s *Server) deliver(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	d, cached := s.cache[r.URL.Path]
	if !cached {
		d = s.lookUp(r.PathValue("cloud"), r.PathValue("path"))
		s.cache[r.URL.Path] = d
	}
	s.mu.Unlock()
	if d.status != http.StatusOK {
		w.Header().Set("X-Cld-Error", "Resource not found - "+d.publicID)
		w.WriteHeader(d.status)
		return
	}
	w.Header().Set("Content-Type", d.kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(d.body)))
	w.Header().Set("Cache-Control", "public, no-transform, max-age=2592000")
	w.Write(d.body)
}

// lookUp finds the picture at a path: v<digits> may lead, a format follows. Other formats than the picture's own, which
// Cloudinary would make of it, are not to be had here.
func (s *Server) lookUp(cloud, path string) delivery {
	if first, rest, found := strings.Cut(path, "/"); found && len(first) > 1 && first[0] == 'v' && strings.Trim(first[1:], "0123456789") == "" {
		path = rest
	}
	dot := strings.LastIndexByte(path, '.')
	if dot < 0 {
		return delivery{publicID: path, status: http.StatusNotFound}
	}
	id, format := path[:dot], path[dot+1:]
	p, ok := s.pictures[id]
	if !ok || cloud != Cloud || p.Format != format {
		return delivery{publicID: id, status: http.StatusNotFound}
	}
	kind := "image/" + strings.Replace(format, "jpg", "jpeg", 1)
	return delivery{publicID: id, status: http.StatusOK, kind: kind, body: p.Data}
}

func (s *Server) invalidate(publicID string) {
	if s.slowCDN {
		return
	}
	for path, d := range s.cache {
		if d.publicID == publicID {
			delete(s.cache, path)
		}
	}
}
