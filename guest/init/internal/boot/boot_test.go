package boot

import "testing"

func TestParseOptions(t *testing.T) {
	cases := map[string]Options{
		"":                      {},
		"console=ttyS0 quiet\n": {CommandLine: "console=ttyS0 quiet"},
		"hullkit.debug quiet":   {Debug: true, CommandLine: "hullkit.debug quiet"},
		"hullkit.root=rw hullkit.debug=1": {
			Debug: true, WritableRoot: true, CommandLine: "hullkit.root=rw hullkit.debug=1",
		},
		"hullkit.control=ttyS1 hullkit.verity=x:1": {
			Control: "ttyS1", Verity: "x:1", CommandLine: "hullkit.control=ttyS1 hullkit.verity=x:1",
		},
		"hullkit.root=ro hullkit.debugger": {CommandLine: "hullkit.root=ro hullkit.debugger"},
	}
	for line, expected := range cases {
		if got := ParseOptions(line); got != expected {
			t.Errorf("%q: %+v", line, got)
		}
	}
	if options, err := ReadOptions(); err != nil || options.CommandLine == "" {
		t.Error(options, err)
	}
}
