package packet

import "bytes"

// skipValue checks the JSON value that starts at b[i] and returns the index behind it. It does not recurse and needs
// memory for nothing, however deep the value is nested.
func skipValue(b []byte, i int) (int, error) {
	var objects [(MaxDepth + 63) / 64]uint64 // bit d: the container at depth d is an object
	for depth := 0; ; {
		if i = skipSpace(b, i); i == len(b) {
			return 0, errJSON
		}
		ended := true // whether the value that starts here ends here
		switch c := b[i]; c {
		case '{', '[':
			if depth == MaxDepth {
				return 0, errDepth
			}
			word, bit := depth/64, uint64(1)<<(depth%64)
			objects[word] &^= bit
			depth++
			if i = skipSpace(b, i+1); i < len(b) && b[i] == c+2 { // the closing brackets are two above
				i, depth = i+1, depth-1
				break
			}
			if ended = false; c == '{' {
				objects[word] |= bit
				if i = skipKey(b, i); i < 0 {
					return 0, errJSON
				}
			}
		case '"':
			i = skipString(b, i)
		case 't':
			i = skipLiteral(b, i, "true")
		case 'f':
			i = skipLiteral(b, i, "false")
		case 'n':
			i = skipLiteral(b, i, "null")
		default:
			i = skipNumber(b, i)
		}
		if i < 0 {
			return 0, errJSON
		}
		for ended {
			if depth == 0 {
				return i, nil
			}
			if i = skipSpace(b, i); i == len(b) {
				return 0, errJSON
			}
			object := objects[(depth-1)/64]&(1<<((depth-1)%64)) != 0
			switch c := b[i]; {
			case c == ',':
				i++
				if object {
					if i = skipKey(b, i); i < 0 {
						return 0, errJSON
					}
				}
				ended = false
			case c == '}' && object, c == ']' && !object:
				i, depth = i+1, depth-1
			default:
				return 0, errJSON
			}
		}
	}
}

// The skip functions return the index behind what starts at b[i], or -1 if it is not there.

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipKey skips a key with its colon, and space before it.
func skipKey(b []byte, i int) int {
	if i = skipSpace(b, i); i == len(b) || b[i] != '"' {
		return -1
	}
	if i = skipString(b, i); i < 0 {
		return -1
	}
	if i = skipSpace(b, i); i == len(b) || b[i] != ':' {
		return -1
	}
	return i + 1
}

func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return -1
		case c != '\\':
			continue
		}
		if i++; i == len(b) {
			return -1
		}
		switch b[i] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		case 'u':
			if len(b)-i < 5 {
				return -1
			}
			for _, c := range b[i+1 : i+5] {
				if !isHex(c) {
					return -1
				}
			}
			i += 4
		default:
			return -1
		}
	}
	return -1
}

func isHex(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func skipLiteral(b []byte, i int, literal string) int {
	if !bytes.HasPrefix(b[i:], []byte(literal)) {
		return -1
	}
	return i + len(literal)
}

func skipNumber(b []byte, i int) int {
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch whole := skipDigits(b, i); {
	case whole == i, b[i] == '0' && whole > i+1:
		return -1
	default:
		i = whole
	}
	if i < len(b) && b[i] == '.' {
		fraction := skipDigits(b, i+1)
		if fraction == i+1 {
			return -1
		}
		i = fraction
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		exponent := skipDigits(b, i)
		if exponent == i {
			return -1
		}
		i = exponent
	}
	return i
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	return i
}

// checkValue checks that b is one JSON value and nothing else but space.
func checkValue(b []byte) error {
	i, err := skipValue(b, 0)
	if err == nil && skipSpace(b, i) != len(b) {
		err = errJSON
	}
	return err
}

// splitArray returns the elements of the JSON array b.
func splitArray(b []byte) ([]Value, error) {
	if len(b) == 0 || b[0] != '[' {
		return nil, errPayload
	}
	if err := checkValue(b); err != nil {
		return nil, err
	}
	var elements []Value
	for i := skipSpace(b, 1); b[i] != ']'; {
		end, _ := skipValue(b, i) // checked above
		if len(elements) == MaxArgs {
			return nil, errArgs
		}
		elements = append(elements, Value(b[i:end:end]))
		if i = skipSpace(b, end); b[i] == ',' {
			i = skipSpace(b, i+1)
		}
	}
	return elements, nil
}
