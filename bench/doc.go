// Package bench puts the server under load. It is a module of its own, so that the peers it is measured against never
// reach the module of those who use Loupe. README.md says how to read the results.
package bench
