// Package configs reads the configuration of mipsecd, a TOML file, into plain data. All that is wrong with a file is
// reported at once, by line and key, with what would be right.
//
// The keys are tables (schema.go) of what each takes (kind.go). [Keys] lists them for the documentation. The samples in
// this directory are read by its tests.
package configs
