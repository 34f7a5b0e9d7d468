package pcapng

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"mipsecd/internal/cursor"
)

// Reader reads what a Writer has written. What others may put into such a file, blocks, options and tags that it does not
// know, it passes over; a file of another byte order or link type it refuses.
type Reader struct {
	r     io.Reader
	begun bool // the section and the interface have been read
	link  bool
}

// maxBlock bounds a block: an exported PDU is one datagram, and a comment.
const maxBlock = 256 << 10

// NewReader reads from r.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Next is the next PDU, or io.EOF after the last. A file that ends within a block, as that of an agent that was killed may,
// gives io.ErrUnexpectedEOF.
func (r *Reader) Next() (PDU, error) {
	for {
		kind, body, err := r.block()
		switch {
		case errors.Is(err, io.EOF) && r.begun:
			return PDU{}, io.EOF
		case errors.Is(err, io.EOF):
			err = errors.New("the file is empty")
		}
		if err != nil {
			return PDU{}, fmt.Errorf("pcapng: %w", err)
		}
		var p PDU
		switch {
		case kind == sectionHeader:
			err = r.section(body)
		case !r.begun:
			err = fmt.Errorf("the file begins with a block of type %#x, want %#x", kind, sectionHeader)
		case kind == interfaceDescription:
			err = r.interfaceDescription(body)
		case kind == enhancedPacket && !r.link:
			err = errors.New("a packet before the description of its interface")
		case kind == enhancedPacket:
			p, err = packet(body)
		default:
			continue
		}
		if err != nil {
			return PDU{}, fmt.Errorf("pcapng: %w", err)
		}
		if kind == enhancedPacket {
			return p, nil
		}
	}
}

// block reads one block and checks the length at both of its ends.
func (r *Reader) block() (kind uint32, body []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return 0, nil, err
	}
	kind, length := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[4:])
	if length < 12 || length > maxBlock || length%4 != 0 {
		return 0, nil, fmt.Errorf("a block of %d octets; want 12 to %d in network byte order, as mipsecd writes it", length, maxBlock)
	}
	body = make([]byte, length-8)
	if _, err := io.ReadFull(r.r, body); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	body, tail := body[:length-12], body[length-12:]
	if again := binary.BigEndian.Uint32(tail); again != length {
		return 0, nil, fmt.Errorf("a block of %d octets ends as one of %d", length, again)
	}
	return kind, body, nil
}

func (r *Reader) section(body []byte) error {
	if len(body) < 4 || binary.BigEndian.Uint32(body) != byteOrderMagic {
		return errors.New("the section is not in network byte order, as mipsecd writes it")
	}
	r.begun, r.link = true, false
	return nil
}

func (r *Reader) interfaceDescription(body []byte) error {
	if len(body) < 8 {
		return fmt.Errorf("an interface description of %d octets, want 8 or more", len(body))
	}
	if link := binary.BigEndian.Uint16(body); link != upperPDU {
		return fmt.Errorf("link type %d, want %d (exported PDUs): this is no trace of mipsecd", link, upperPDU)
	}
	r.link = true
	return nil
}

// packet reads an enhanced packet block.
func packet(body []byte) (p PDU, err error) {
	b := cursor.Big(body)
	b.Skip(4)
	at := uint64(b.U32())<<32 | uint64(b.U32())
	length := int(b.U32())
	b.Skip(4)
	data := b.Bytes(length)
	b.Skip(-length & 3)
	if err := b.Err(); err != nil {
		return p, fmt.Errorf("enhanced packet block: %w", err)
	}
	p.Time = time.Unix(0, int64(at))
	options := func(kind uint16, value []byte) {
		switch {
		case kind == optionComment:
			p.Comment = string(value)
		case kind == optionPacketFlags && len(value) == 4:
			p.Outbound = binary.BigEndian.Uint32(value)&3 == flagOutbound
		}
	}
	if err := eachTLV(b, optionEnd, options); err != nil {
		return p, fmt.Errorf("options: %w", err)
	}
	return p, p.readTags(data)
}

// readTags reads what precedes the message in an exported PDU, and the message.
func (p *PDU) readTags(data []byte) error {
	var src, dst netip.Addr
	var srcPort, dstPort uint16
	port := func(value []byte) uint16 {
		if len(value) != 4 {
			return 0
		}
		return uint16(binary.BigEndian.Uint32(value))
	}
	b := cursor.Big(data)
	tags := func(kind uint16, value []byte) {
		switch kind {
		case tagDissector:
			p.Dissector = unpadded(value)
		case tagTableNum:
			if port(value) == portKINK {
				p.Dissector = "kink"
			}
		case tagIPv4Src, tagIPv6Src:
			src, _ = netip.AddrFromSlice(value)
		case tagIPv4Dst, tagIPv6Dst:
			dst, _ = netip.AddrFromSlice(value)
		case tagSrcPort:
			srcPort = port(value)
		case tagDstPort:
			dstPort = port(value)
		}
	}
	if err := eachTLV(b, tagEnd, tags); err != nil {
		return fmt.Errorf("tags of the exported PDU: %w", err)
	}
	if !src.IsValid() || !dst.IsValid() || p.Dissector == "" {
		return errors.New("an exported PDU without addresses or dissector")
	}
	p.Src, p.Dst = netip.AddrPortFrom(src, srcPort), netip.AddrPortFrom(dst, dstPort)
	p.Data = b.Rest()
	return nil
}

// eachTLV reads options or tags up to the one that ends them, or to the end.
func eachTLV(b *cursor.Reader, end uint16, use func(kind uint16, value []byte)) error {
	for b.Len() > 0 {
		kind, length := b.U16(), int(b.U16())
		value := b.Bytes(length)
		b.Skip(-length & 3)
		if err := b.Err(); err != nil {
			return err
		}
		if kind == end {
			return nil
		}
		use(kind, value)
	}
	return nil
}

func unpadded(b []byte) string {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return string(b)
}
