package configs

import "mipsecd/ikev2"

// ppk are the keys of a post-quantum pre-shared key (RFC 8784).
type ppk struct {
	id, file string
	required bool
}

const (
	ppkIDKey       = "ppk-id"
	ppkFileKey     = "ppk-file"
	ppkRequiredKey = "ppk-required"
)

func (k *ppk) fields() []field {
	return []field{
		bind(&k.id, label, Key{Name: ppkIDKey,
			Meaning: "the name of a post-quantum pre-shared key, the same on both ends; it keeps the traffic secret from who breaks " +
				"the key exchange later, and proves nothing (RFC 8784)"}),
		bind(&k.file, path, Key{Name: ppkFileKey,
			Meaning: "has that key, random and of at least 32 octets; mode 600"}),
		bind(&k.required, boolean, Key{Name: ppkRequiredKey,
			Meaning: "whether a peer that does not use the key is refused, as it is without this line; false is for the time until " +
				"both ends have the key"}),
	}
}

// minPPK is 256 bits, as RFC 8784 section 6 wants.
const minPPK = 32

// ppk gives a peer its post-quantum pre-shared key, if there is one.
func (r *reader) ppk(to *ikev2.Peer, t table, k ppk) {
	switch {
	case k.id == "" && k.file == "":
		if t.has(ppkRequiredKey) {
			r.report(t.at.key(ppkRequiredKey), t.key(ppkRequiredKey), "this is for a ppk-file, which is missing")
		}
		return
	case k.id == "":
		r.report(t.at, t.key(ppkIDKey), "is missing; want the name of the key in ppk-file")
		return
	case k.file == "":
		r.report(t.at, t.key(ppkFileKey), "is missing; want the path of a file, as there is a ppk-id")
		return
	}
	if keys, ok := contents(r, t, ppkFileKey, []string{k.file}, PostQuantumKey, parseKey(minPPK, PostQuantumKey)); ok {
		to.PPK = &ikev2.PPK{ID: k.id, Key: keys[0], Required: k.required}
	}
}
