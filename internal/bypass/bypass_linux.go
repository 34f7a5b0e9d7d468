package bypass

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Sizes and values of struct xfrm_userpolicy_info (linux/xfrm.h) on a 64-bit machine and of struct sadb_x_policy
// (linux/pfkeyv2.h). Directions count from zero in the former and from one in the latter.
const (
	xfrmPolicyLen    = 168
	xfrmFamilyOffset = 40
	xfrmLimitsOffset = 56
	xfrmLimitsLen    = 32
	xfrmDirOffset    = 160
	sadbExtPolicy    = 18
	sadbPolicyBypass = 4
)

const in, out = 0, 1

// Bypass lets all that an IPv4 or IPv6 socket sends and receives pass without IPsec, whatever the policies say. It
// needs CAP_NET_ADMIN. Linux asks its XFRM or, where only that is loaded, its PF_KEY to understand the policy.
func Bypass(fd int, ipv6 bool) error {
	if xfrmErr := viaXFRM(fd, ipv6); xfrmErr != nil {
		if keyErr := viaPFKey(fd, ipv6); keyErr != nil {
			return fmt.Errorf("exempting a socket from IPsec: by XFRM: %w; by PF_KEY: %w", xfrmErr, keyErr)
		}
	}
	return nil
}

func viaXFRM(fd int, ipv6 bool) error {
	level, option, family := unix.IPPROTO_IP, unix.IP_XFRM_POLICY, uint16(unix.AF_INET)
	if ipv6 {
		level, option, family = unix.IPPROTO_IPV6, unix.IPV6_XFRM_POLICY, unix.AF_INET6
	}
	for dir := byte(in); dir <= out; dir++ {
		// All packets of the family, without limits, allowed without a template.
		policy := make([]byte, xfrmPolicyLen)
		binary.NativeEndian.PutUint16(policy[xfrmFamilyOffset:], family)
		for i := range xfrmLimitsLen {
			policy[xfrmLimitsOffset+i] = 0xff
		}
		policy[xfrmDirOffset] = dir
		if err := unix.SetsockoptString(fd, level, option, string(policy)); err != nil {
			return err
		}
	}
	return nil
}

func viaPFKey(fd int, ipv6 bool) error {
	level, option := unix.IPPROTO_IP, unix.IP_IPSEC_POLICY
	if ipv6 {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_IPSEC_POLICY
	}
	for dir := byte(in); dir <= out; dir++ {
		policy := binary.NativeEndian.AppendUint16(nil, 2) // its length, in words of 64 bits
		policy = binary.NativeEndian.AppendUint16(policy, sadbExtPolicy)
		policy = binary.NativeEndian.AppendUint16(policy, sadbPolicyBypass)
		policy = append(policy, dir+1, 0)
		policy = append(policy, make([]byte, 8)...) // id, priority
		if err := unix.SetsockoptString(fd, level, option, string(policy)); err != nil {
			return err
		}
	}
	return nil
}
