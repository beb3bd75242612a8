package engineio

import "bytes"

// separator stands between the packets of a payload. JSON never contains it unescaped.
const separator = 0x1e

// parsePayload hands the packets in the body of a polling request to each, in order, and stops at the first error.
// The packets before a bad one have then been handled, as Node does it.
func parsePayload(body []byte, maxPackets int, each func(packet) error) error {
	for more := true; more; {
		if maxPackets--; maxPackets < 0 {
			return errTooMany
		}
		var item []byte
		item, body, more = bytes.Cut(body, []byte{separator})
		p, err := parsePacket(item)
		if err != nil {
			return err
		}
		if err := each(p); err != nil {
			return err
		}
	}
	return nil
}

// encodePayload is the body that carries ps, of which there must be at least one.
func encodePayload(ps []packet) []byte {
	size := 0
	for _, p := range ps {
		if p.binary {
			size += len(p.data)/3 + 4
		}
		size += len(p.data) + 2
	}
	body := make([]byte, 0, size)
	for i, p := range ps {
		if i > 0 {
			body = append(body, separator)
		}
		body = p.appendText(body)
	}
	return body
}
