package builtin

import "net/netip"

// notPublic has what the IANA registries of special-purpose addresses do not call globally reachable, and multicast:
// https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry.
var notPublic = prefixes(
	"0.0.0.0/8",       // this network
	"10.0.0.0/8",      // private
	"100.64.0.0/10",   // behind a carrier's NAT
	"127.0.0.0/8",     // loopback
	"169.254.0.0/16",  // link-local, cloud metadata
	"172.16.0.0/12",   // private
	"192.0.0.0/24",    // protocol assignments
	"192.0.2.0/24",    // documentation
	"192.88.99.0/24",  // 6to4 relays
	"192.168.0.0/16",  // private
	"198.18.0.0/15",   // benchmarks
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"224.0.0.0/4",     // multicast
	"240.0.0.0/4",     // reserved, broadcast

	"2001::/23",     // protocol assignments, Teredo: an IPv4 address in disguise
	"2001:db8::/32", // documentation
	"2002::/16",     // 6to4: another disguise
	"3fff::/20",     // documentation
)

// globalUnicast is all that is assigned of IPv6. Loopback, link-local, unique local, multicast, NAT64 and the ways to write an
// IPv4 address lie outside.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// public reports whether an address, unmapped and without zone, is one that anybody on the internet may reach.
func public(ip netip.Addr) bool {
	if !ip.IsValid() || ip.Is6() && !globalUnicast.Contains(ip) {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}
