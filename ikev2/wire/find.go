package wire

import "iter"

// Find is the first payload of a type, such as Find[*SA].
func Find[P Payload](ps []Payload) (P, bool) {
	for _, p := range ps {
		if found, ok := p.(P); ok {
			return found, true
		}
	}
	var none P
	return none, false
}

// FindID is IDi, when initiator, or else IDr; nil if it is not there.
func FindID(ps []Payload, initiator bool) *ID {
	for _, p := range ps {
		if id, ok := p.(*ID); ok && id.Initiator == initiator {
			return id
		}
	}
	return nil
}

// FindTS is TSi, when initiator, or else TSr; nil if it is not there.
func FindTS(ps []Payload, initiator bool) *TS {
	for _, p := range ps {
		if ts, ok := p.(*TS); ok && ts.Initiator == initiator {
			return ts
		}
	}
	return nil
}

// Notifies goes through the Notify payloads.
func Notifies(ps []Payload) iter.Seq[*Notify] {
	return func(yield func(*Notify) bool) {
		for _, p := range ps {
			if n, ok := p.(*Notify); ok && !yield(n) {
				return
			}
		}
	}
}

// FindNotify is the first Notify payload of a kind, or nil.
func FindNotify(ps []Payload, kind NotifyType) *Notify {
	for n := range Notifies(ps) {
		if n.Kind == kind {
			return n
		}
	}
	return nil
}
