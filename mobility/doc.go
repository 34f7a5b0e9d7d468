// Package mobility says what happened outside in the words of Mobile IPv6 (RFC 6275): it decodes the Mobility Header, the
// packets that a kernel shows and the messages of mobility sockets, and reads movements out of a kernel's reports. All of it
// is pure.
package mobility
