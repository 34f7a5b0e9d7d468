package suite

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"
)

// allGroups are those of Diffie and Hellman, kems the others.
var (
	allGroups = []Group{MODP1536, MODP2048, MODP3072, MODP4096, MODP6144, MODP8192, P256, P384, P521, X25519}
	kems      = []Group{MLKEM768, MLKEM1024}
)

func generate(t testing.TB, g Group, rnd io.Reader) *KEKey {
	t.Helper()
	k, err := GenerateKE(g, rnd)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// seeded is the repeatable randomness of one side.
func seeded(side byte) io.Reader { return rand.NewChaCha8([32]byte{side}) }

func TestKeyExchangeVectors(t *testing.T) {
	for _, test := range []struct {
		name                                         string
		group                                        Group
		privateI, publicI, privateR, publicR, shared string
	}{
		{"RFC 5903 section 8.1", P256,
			"c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
			`dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180
			5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3`,
			"c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53",
			`d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63
			56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab`,
			"d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de"},
		{"RFC 5903 section 8.2", P384,
			"099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f160647b67414dce655e35b538041e649ee3faef896783ab194",
			`667842d7d180ac2cde6f74f37551f55755c7645c20ef73e31634fe72b4c55ee6de3ac808acb4bdb4c88732aee95f41aa
			9482ed1fc0eeb9cafc4984625ccfc23f65032149e0e144ada024181535a0f38eeb9fcff3c2c947dae69b4c634573a81c`,
			"41cb0779b4bdb85d47846725fbec3c9430fab46cc8dc5060855cc9bda0aa2942e0308312916b8ed2960e4bd55a7448fc",
			`e558dbef53eecde3d3fccfc1aea08a89a987475d12fd950d83cfa41732bc509d0d1ac43a0336def96fda41d0774a3571
			dcfbec7aacf3196472169e838430367f66eebe3c6e70c416dd5f0c68759dd1fff83fa40142209dff5eaad96db9e6386c`,
			"11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4d603135569b9e9d09cf5d4a270f59746"},
		{"RFC 5903 section 8.3", P521,
			`0037ade9319a89f4dabdb3ef411aaccca5123c61acab57b5393dce47608172a0
			95aa85a30fe1c2952c6771d937ba9777f5957b2639bab072462f68c27a57382d4a52`,
			`0015417e84dbf28c0ad3c278713349dc7df153c897a1891bd98bab4357c9ecbe
			e1e3bf42e00b8e380aeae57c2d107564941885942af5a7f4601723c4195d176ced3e
			017cae20b6641d2eeb695786d8c946146239d099e18e1d5a514c739d7cb4a10a
			d8a788015ac405d7799dc75e7b7d5b6cf2261a6a7f1507438bf01beb6ca3926f9582`,
			`0145ba99a847af43793fdd0e872e7cdfa16be30fdc780f97bccc3f078380201e
			9c677d600b343757a3bdbf2a3163e4c2f869cca7458aa4a4effc311f5cb151685eb9`,
			`00d0b3975ac4b799f5bea16d5e13e9af971d5e9b984c9f39728b5e5739735a21
			9b97c356436adc6e95bb0352f6be64a6c2912d4ef2d0433ced2b6171640012d9460f
			015c68226383956e3bd066e797b623c27ce0eac2f551a10c2c724d9852077b87
			220b6536c5c408a1d2aebb8e86d678ae49cb57091f4732296579ab44fcd17f0fc56a`,
			`01144c7d79ae6956bc8edb8e7c787c4521cb086fa64407f97894e5e6b2d79b04
			d1427e73ca4baa240a34786859810c06b3c715a3a8cc3151f2bee417996d19f3ddea`},
		{"RFC 8031 appendix A", X25519,
			"751fb4308655b476b6789b7325f9ea8cddd16a58533ff6d9e60009464a5f9d94",
			"48d5ddd4061257ba166fa3f9bbdb74f1a4e81c089384fa77f790709f0dfbc766",
			"0a54645253290d60ddadd0e030bacd9e5501efdc220755a1e978f1b839a05688",
			"0be7c1f5aad87d7e448662673298a443478b859745179eaf564c79c0ef6eee25",
			"c74950607a12327f3204d94b6825bfb068b7f8319a9e3708ed3d43ce8130c950"},
	} {
		i := generate(t, test.group, bytes.NewReader(unhex(t, test.privateI)))
		r := generate(t, test.group, bytes.NewReader(unhex(t, test.privateR)))
		if want := unhex(t, test.publicI); !bytes.Equal(i.Public(), want) {
			t.Errorf("%s: the initiator sends %x, want %x", test.name, i.Public(), want)
		}
		if want := unhex(t, test.publicR); !bytes.Equal(r.Public(), want) {
			t.Errorf("%s: the responder sends %x, want %x", test.name, r.Public(), want)
		}
		atI, errI := i.Shared(r.Public())
		atR, errR := r.Shared(i.Public())
		if want := unhex(t, test.shared); errI != nil || errR != nil || !atI.Equal(want) || !atR.Equal(want) {
			t.Errorf("%s: shared %x and %x, %v, %v, want %x", test.name, []byte(atI), []byte(atR), errI, errR, want)
		}
	}
}

func TestBothSidesShareASecretThatSeedsRepeat(t *testing.T) {
	for _, g := range allGroups {
		i, r, again := generate(t, g, seeded(1)), generate(t, g, seeded(2)), generate(t, g, seeded(1))
		atI, errI := i.Shared(r.Public())
		atR, errR := r.Shared(i.Public())
		if errI != nil || errR != nil || !atI.Equal(atR) {
			t.Errorf("%s: %v, %v, or different secrets", g, errI, errR)
		}
		if !bytes.Equal(i.Public(), again.Public()) || bytes.Equal(i.Public(), r.Public()) {
			t.Errorf("%s: the public value must follow from the randomness", g)
		}
		if len(i.Public()) != PublicLen(g) || !Supported(g) {
			t.Errorf("%s: a public value of %d octets, want %d", g, len(i.Public()), PublicLen(g))
		}
		public, shared, err := AnswerKE(g, seeded(2), i.Public())
		if err != nil || !bytes.Equal(public, r.Public()) || !shared.Equal(atR) {
			t.Errorf("%s: the answer is not what its half gives: %v", g, err)
		}
	}
}

// The hashes are of the primes that OpenSSL has under the same names.
func TestRFC3526Primes(t *testing.T) {
	for g, hash := range map[Group]string{
		MODP1536: "64fcc83ec403930bf18393dbc883ccaa1fbb08ac876f77f7aa99748ca945019b",
		MODP2048: "d66436f79bbd6b2e38c0ffbd079be904d2641415e2e67140e09448be9a60890e",
		MODP3072: "48cf8b092fbce4359d9871abf74f98e25b6163379eaa15cd9087e800c6d1c55c",
		MODP4096: "4ee95187682bcb230ad26a95205f6920e84708f6251b3894329b09ec23919e33",
		MODP6144: "d1bfe6d0925ce7e4da262b62861514a7755e35831e429f343e7b864848657efd",
		MODP8192: "39ab4feab950a3128fb71accb9fc3965d857012e081998a85996e3ea8b3c3bcf",
	} {
		p := primeOf(t, g)
		if sum := sha256.Sum256(p.Bytes()); !bytes.Equal(sum[:], unhex(t, hash)) {
			t.Errorf("%s: the prime is %x", g, p)
		}
		// The large ones would take seconds; the hash holds for them.
		if half := new(big.Int).Rsh(p, 1); p.BitLen() <= 3072 && !(p.ProbablyPrime(0) && half.ProbablyPrime(0)) {
			t.Errorf("%s: not a safe prime", g)
		}
	}
}

func primeOf(t *testing.T, g Group) *big.Int {
	t.Helper()
	m, ok := groups[g].method.(modp)
	if !ok {
		t.Fatalf("%s is not a MODP group", g)
	}
	p := m.prime()
	return new(big.Int).Add(new(big.Int).SetBytes(p.Nat().SubOne(p).Bytes(p)), big.NewInt(1))
}

// math/big computes the same in another way.
func TestMODPAgainstMathBig(t *testing.T) {
	peers := rand.NewChaCha8([32]byte{9})
	for _, g := range []Group{MODP1536, MODP2048, MODP3072, MODP4096} {
		p, bits := primeOf(t, g), groups[g].method.(modp).exponentBits
		for _, random := range [][]byte{make([]byte, bits/8), bytes.Repeat([]byte{0xff}, bits/8), octets(1, bits/8)} {
			k := generate(t, g, bytes.NewReader(random))
			x := new(big.Int).SetBit(new(big.Int).SetBytes(random), bits-1, 1)
			if want := new(big.Int).Exp(big.NewInt(2), x, p); want.Cmp(new(big.Int).SetBytes(k.Public())) != 0 {
				t.Errorf("%s: public value %x, want %x", g, k.Public(), want)
			}
			peer := make([]byte, PublicLen(g))
			if _, err := peers.Read(peer[1:]); err != nil {
				t.Fatal(err)
			}
			want := new(big.Int).Exp(new(big.Int).SetBytes(peer), x, p)
			if got, err := k.Shared(peer); err != nil || want.Cmp(new(big.Int).SetBytes(got)) != 0 {
				t.Errorf("%s: shared secret %x, %v, want %x", g, []byte(got), err, want)
			}
		}
	}
}

// RFC 7296 section 2.14: g^ir is padded with zeros to the length of the modulus.
func TestMODPSecretKeepsLeadingZeros(t *testing.T) {
	random := octets(0x80, 32)
	k, p := generate(t, MODP1536, bytes.NewReader(random)), primeOf(t, MODP1536)
	// 4 has the odd order (p-1)/2, so there is a value that the exponent takes to it.
	order := new(big.Int).Rsh(p, 1)
	inverse := new(big.Int).ModInverse(new(big.Int).SetBytes(random), order)
	peer := new(big.Int).Exp(big.NewInt(4), inverse, p).FillBytes(make([]byte, 192))
	want := append(make([]byte, 191), 4)
	if got, err := k.Shared(peer); err != nil || !got.Equal(want) {
		t.Errorf("shared %x, %v, want %x", []byte(got), err, want)
	}
}

func TestRFC6989(t *testing.T) {
	for _, g := range allGroups {
		k := generate(t, g, seeded(1))
		good := generate(t, g, seeded(2)).Public()
		n := PublicLen(g)
		refused := func(name string, peer []byte) {
			t.Helper()
			if shared, err := k.Shared(peer); err == nil || shared != nil {
				t.Errorf("%s: %s was taken", g, name)
			}
		}
		refused("nothing", nil)
		refused("a value without its last octet", good[:n-1])
		refused("a value without its first octet", good[1:])
		refused("a value with a zero before it", append([]byte{0}, good...))
		refused("a value with a zero after it", append(slices.Clone(good), 0))
		refused("zero", make([]byte, n))
		switch {
		case g == X25519:
			// RFC 7748 section 6.1; the points of small order are 1, p-1 and, for one, this.
			refused("1", append([]byte{1}, make([]byte, 31)...))
			refused("p-1", append([]byte{0xec}, append(bytes.Repeat([]byte{0xff}, 30), 0x7f)...))
			refused("a point of order 8", unhex(t, "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"))
		case g == P256 || g == P384 || g == P521:
			for i := range good {
				off := slices.Clone(good)
				off[i] ^= 1
				refused("a point beside the curve", off)
			}
			refused("coordinates beyond the prime", bytes.Repeat([]byte{0xff}, n))
			refused("a compressed point", append([]byte{2}, good[:n/2]...))
		default: // section 2.1: 1 < r < p-1
			p := primeOf(t, g)
			encode := func(offset int64) []byte { return new(big.Int).Add(p, big.NewInt(offset)).FillBytes(make([]byte, n)) }
			refused("1", append(make([]byte, n-1), 1))
			refused("p-1", encode(-1))
			refused("p", encode(0))
			refused("p+1", encode(1))
			refused("p+2", encode(2))
			refused("2^n-1", bytes.Repeat([]byte{0xff}, n))
			for name, taken := range map[string][]byte{"2": append(make([]byte, n-1), 2), "p-2": encode(-2)} {
				if _, err := k.Shared(taken); err != nil {
					t.Errorf("%s: %s was refused: %v", g, name, err)
				}
			}
		}
		if _, err := k.Shared(good); err != nil {
			t.Errorf("%s: %v after values that were refused", g, err)
		}
	}
}

func TestGenerateKEErrors(t *testing.T) {
	for _, g := range slices.Concat(allGroups, kems) {
		if k, err := GenerateKE(g, iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) || k != nil {
			t.Errorf("%s: %v without randomness", g, err)
		}
		if _, err := GenerateKE(g, bytes.NewReader(octets(0, 31))); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v with too little randomness", g, err)
		}
	}
	for _, g := range []Group{GroupNone, 2, 999} {
		if _, err := GenerateKE(g, seeded(1)); err == nil || Supported(g) || PublicLen(g) != 0 {
			t.Errorf("%s: %v", g, err)
		}
		if public, shared, err := AnswerKE(g, seeded(1), octets(0, 32)); err == nil || public != nil || shared != nil {
			t.Errorf("%s: %v", g, err)
		}
	}
	if _, _, err := AnswerKE(X25519, iotest.ErrReader(io.ErrClosedPipe), octets(1, 32)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("an answer without randomness: %v", err)
	}
}

func TestPrivateKeyBeyondTheOrderIsDrawnAgain(t *testing.T) {
	for _, g := range []Group{P256, P384, P521} {
		n := PublicLen(g) / 2
		beyond, zero, one := bytes.Repeat([]byte{0xff}, n), make([]byte, n), append(make([]byte, n-1), 1)
		got := generate(t, g, bytes.NewReader(slices.Concat(beyond, zero, one)))
		if want := generate(t, g, bytes.NewReader(one)); !bytes.Equal(got.Public(), want.Public()) {
			t.Errorf("%s: not the key that was drawn third", g)
		}
		if _, err := GenerateKE(g, bytes.NewReader(bytes.Repeat(beyond, maxTries+1))); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v, want the search to end", g, err)
		}
	}
}

func TestPublicIsACopy(t *testing.T) {
	k := generate(t, X25519, seeded(1))
	clear(k.Public())
	if bytes.Equal(k.Public(), make([]byte, 32)) {
		t.Error("a caller could change the public value")
	}
}
