package redisadapter

import (
	"errors"
	"math"
)

// The ways in which a message can be wrong.
var (
	errMsgpack  = errors.New("invalid MessagePack")
	errTrailing = errors.New("bytes behind the message")
	errDepth    = errors.New("nested too deep")
	errShape    = errors.New("not what the channel is for")
	errJSON     = errors.New("invalid JSON")
	errEvent    = errors.New("no name for an event")

	errAttachments = errors.New("too many attachments")
)

// kind is what a MessagePack value is.
type kind byte

const (
	kindNil kind = iota
	kindBool
	kindInt
	kindUint // above the range of kindInt
	kindFloat
	kindString
	kindBinary
	kindArray
	kindMap
	kindExt
)

// token is a MessagePack value without its elements, if it has any.
type token struct {
	kind kind
	bits uint64 // of a bool or a number
	n    int    // how many elements, or pairs, follow
	body string // of a string, binary data, an extension
	ext  int8   // the type of the extension
	fix  bool   // the extension's size is in its code
}

func (t token) int() int64     { return int64(t.bits) }
func (t token) float() float64 { return math.Float64frombits(t.bits) }

// next reads the token at s[i] and returns the index behind it. What a header claims to follow is in s, as far as that
// can be known: so many bytes, or at least as many as there are elements.
func next(s string, i int) (token, int, error) {
	if i >= len(s) {
		return token{}, 0, errMsgpack
	}
	c := s[i]
	i++
	switch {
	case c < 0x80:
		return token{kind: kindInt, bits: uint64(c)}, i, nil
	case c < 0x90:
		return elements(s, i, kindMap, uint64(c&15))
	case c < 0xa0:
		return elements(s, i, kindArray, uint64(c&15))
	case c < 0xc0:
		return withBody(s, i, token{kind: kindString}, uint64(c&31))
	case c >= 0xe0:
		return token{kind: kindInt, bits: uint64(int64(int8(c)))}, i, nil
	}
	// The header goes on with a length or a number, whose size follows from c.
	var size int
	switch c {
	case 0xc0:
		return token{kind: kindNil}, i, nil
	case 0xc1:
		return token{}, 0, errMsgpack
	case 0xc2, 0xc3:
		return token{kind: kindBool, bits: uint64(c & 1)}, i, nil
	case 0xca:
		size = 4
	case 0xcb:
		size = 8
	case 0xc4, 0xc5, 0xc6:
		size = 1 << (c - 0xc4)
	case 0xc7, 0xc8, 0xc9:
		size = 1 << (c - 0xc7)
	case 0xcc, 0xcd, 0xce, 0xcf:
		size = 1 << (c - 0xcc)
	case 0xd0, 0xd1, 0xd2, 0xd3:
		size = 1 << (c - 0xd0)
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		return extension(s, i, 1<<(c-0xd4), true)
	case 0xd9, 0xda, 0xdb:
		size = 1 << (c - 0xd9)
	case 0xdc, 0xdd:
		size = 2 << (c - 0xdc)
	case 0xde, 0xdf:
		size = 2 << (c - 0xde)
	}
	if len(s)-i < size {
		return token{}, 0, errMsgpack
	}
	u := bigEndian(s[i : i+size])
	i += size
	switch {
	case c < 0xc7:
		return withBody(s, i, token{kind: kindBinary}, u)
	case c < 0xca:
		return extension(s, i, u, false)
	case c == 0xca:
		return token{kind: kindFloat, bits: math.Float64bits(float64(math.Float32frombits(uint32(u))))}, i, nil
	case c == 0xcb:
		return token{kind: kindFloat, bits: u}, i, nil
	case c < 0xd0 && u > math.MaxInt64:
		return token{kind: kindUint, bits: u}, i, nil
	case c < 0xd0:
		return token{kind: kindInt, bits: u}, i, nil
	case c < 0xd4:
		shift := 64 - 8*size
		return token{kind: kindInt, bits: uint64(int64(u<<shift) >> shift)}, i, nil
	case c < 0xdc:
		return withBody(s, i, token{kind: kindString}, u)
	case c < 0xde:
		return elements(s, i, kindArray, u)
	default:
		return elements(s, i, kindMap, u)
	}
}

func bigEndian(s string) (u uint64) {
	for j := range len(s) {
		u = u<<8 | uint64(s[j])
	}
	return u
}

func elements(s string, i int, k kind, n uint64) (token, int, error) {
	least := n
	if k == kindMap {
		least *= 2
	}
	if uint64(len(s)-i) < least {
		return token{}, 0, errMsgpack
	}
	return token{kind: k, n: int(n)}, i, nil
}

func withBody(s string, i int, t token, n uint64) (token, int, error) {
	if uint64(len(s)-i) < n {
		return token{}, 0, errMsgpack
	}
	t.body = s[i : i+int(n)]
	return t, i + int(n), nil
}

func extension(s string, i int, n uint64, fix bool) (token, int, error) {
	if i >= len(s) {
		return token{}, 0, errMsgpack
	}
	return withBody(s, i+1, token{kind: kindExt, ext: int8(s[i]), fix: fix}, n)
}

// skip returns the index behind the value at s[i].
func skip(s string, i int) (int, error) {
	for open := uint64(1); open > 0; open-- {
		t, end, err := next(s, i)
		if err != nil {
			return 0, err
		}
		switch i = end; t.kind {
		case kindArray:
			open += uint64(t.n)
		case kindMap:
			open += 2 * uint64(t.n)
		}
	}
	return i, nil
}

// expect reads the token at s[i] if it is of the kind.
func expect(s string, i int, k kind) (token, int, error) {
	t, i, err := next(s, i)
	if err == nil && t.kind != k {
		err = errShape
	}
	return t, i, err
}
