package cursor

import (
	"errors"
	"io"
	"testing"
)

func TestReadsInOrder(t *testing.T) {
	r := Big([]byte{1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 9, 10, 11})
	if r.U8() != 1 || r.U16() != 0x0203 || r.U32() != 0x04050607 || r.U64() != 9 || r.Offset() != 15 || r.Len() != 2 {
		t.Fatalf("wrong values, offset %d, %d left", r.Offset(), r.Len())
	}
	if rest := r.Rest(); len(rest) != 2 || rest[1] != 11 || r.Err() != nil || r.Len() != 0 {
		t.Fatal("wrong rest")
	}
}

func TestPastTheEndSticks(t *testing.T) {
	r := Native([]byte{1, 2, 3})
	if r.U32() != 0 || !errors.Is(r.Err(), io.ErrUnexpectedEOF) {
		t.Fatal("a short read must fail")
	}
	if r.U8() != 0 || r.Len() != 0 || r.Bytes(-1) != nil {
		t.Fatal("the error must stick")
	}
	if r := Big(nil); r.Bytes(-1) != nil || r.Err() == nil {
		t.Fatal("a negative length must fail")
	}
}
