package demo

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestStoryHoldsAndItsTraceOpens(t *testing.T) {
	var out, trace bytes.Buffer
	if err := Run(t.Context(), &out, &trace); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		"kernel: ACQUIRE for HoA -> HA mh type 5",
		"CoA1 > HA: IKE_SA_INIT request 0",
		"Binding Update 1 came inside ESP",
		"IKE_SA with mn1@example.org moved without a message: now HA - CoA2",
		"mn2@example.org may not speak for HoA, which is mn1@example.org's",
		"moved home",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the timeline lacks %q", want)
		}
	}

	path := filepath.Join(t.TempDir(), "demo.pcapng")
	if err := os.WriteFile(path, trace.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	fields, err := exec.Command("tshark", "-r", path, "-Y", "isakmp.exchangetype == 35", "-T", "fields",
		"-e", "isakmp.id.type", "-e", "isakmp.notify.msgtype", "-e", "isakmp.ts.protoid").CombinedOutput()
	if err != nil {
		t.Fatalf("tshark (Debian package tshark): %v\n%s", err, fields)
	}
	// IDi of type 3 (RFC822), USE_TRANSPORT_MODE, Mobility Header: only readable if the message is in clear.
	for _, want := range []string{"3", "16391", "135"} {
		if !strings.Contains(string(fields), want) {
			t.Errorf("tshark does not see %s in IKE_AUTH:\n%s", want, fields)
		}
	}
}

// breaking is a writer that fails.
type breaking struct{}

func (breaking) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestStoryTellsOfATraceThatCannotBeWritten(t *testing.T) {
	if err := Run(t.Context(), new(bytes.Buffer), breaking{}); err == nil {
		t.Error("no error")
	}
}
