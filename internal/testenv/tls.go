package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority is a certificate authority that nobody knows, and a certificate by it.
type Authority struct {
	CA        string // file with the authority's own certificate
	cert, key string
}

// NewAuthority makes an authority and a certificate for servers named host.
func NewAuthority(t testing.TB, host string) *Authority {
	t.Helper()
	dir := t.TempDir()
	a := &Authority{CA: filepath.Join(dir, "ca.pem"), cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tests"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	check(err)
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	check(err)
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, leafKey.Public(), rootKey)
	check(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	check(err)
	for file, block := range map[string]*pem.Block{
		a.CA:   {Type: "CERTIFICATE", Bytes: rootDER},
		a.cert: {Type: "CERTIFICATE", Bytes: leafDER},
		a.key:  {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		check(os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	}
	return a
}

// RedisFlags are those with which a redis-server speaks TLS on this port, to clients and to others of its kind.
func (a *Authority) RedisFlags(port string) []string {
	return []string{
		"--tls-port", port, "--tls-cert-file", a.cert, "--tls-key-file", a.key, "--tls-ca-cert-file", a.CA,
		"--tls-auth-clients", "no", "--tls-replication", "yes", "--tls-cluster", "yes",
	}
}
