package measure

import (
	"crypto/sha256"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/multimage/multimage/buildlib/internal/process"
)

// The test binary is its own subject: it burns or fills what it is told to.
func TestMain(m *testing.M) {
	switch os.Getenv("MEASURE_SUBJECT") {
	case "busy":
		// Where others have most of the processors, 300 ms are little work.
		block := make([]byte, 1<<20)
		for start, n := time.Now(), 0; time.Since(start) < 300*time.Millisecond || n < 100; n++ {
			sha256.Sum256(block)
		}
	case "child":
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "MEASURE_SUBJECT=full")
		if cmd.Run() != nil {
			os.Exit(1)
		}
	case "full":
		block := make([]byte, 200<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		time.Sleep(2 * time.Second) // the sampler is slow on a busy machine
		runtime.KeepAlive(block)
	case "fail":
		os.Exit(7)
	default:
		os.Exit(m.Run())
	}
	os.Exit(0)
}

func subject(t *testing.T, what string) *exec.Cmd {
	t.Helper()
	cmd := process.Command(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "MEASURE_SUBJECT="+what)
	return cmd
}

func TestTime(t *testing.T) {
	u, err := Run(subject(t, "busy"))
	if err != nil {
		t.Fatal(err)
	}
	if u.Wall < 0.3 || u.User+u.System < 0.03 || u.User+u.System > u.Wall*float64(runtime.NumCPU()) {
		t.Errorf("usage %+v of a process that is busy for 300 ms or longer", u)
	}
	if u.Start.IsZero() {
		t.Error("no start")
	}
}

// The memory is that of a grandchild: what counts is the whole tree.
func TestMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("memory is sampled on Linux only")
	}
	u, err := Run(subject(t, "child"))
	if err != nil {
		t.Fatal(err)
	}
	const want = 200 << 20
	if u.MaxRSS < want || u.MaxRSS > 2*want {
		t.Errorf("largest process %d bytes, want a little more than %d", u.MaxRSS, want)
	}
	if u.PSS < want || u.PSS > 2*want {
		t.Errorf("tree %d bytes, want a little more than %d", u.PSS, want)
	}
}

// A process starts with the peak of the one that starts it, which is not its own.
func TestMemoryOfASmallProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("memory is sampled on Linux only")
	}
	block := make([]byte, 400<<20)
	for i := 0; i < len(block); i += 4096 {
		block[i] = 1
	}
	u, err := Run(subject(t, "busy"))
	runtime.KeepAlive(block)
	if err != nil {
		t.Fatal(err)
	}
	if u.MaxRSS == 0 || u.MaxRSS > 100<<20 {
		t.Errorf("largest process %d bytes: is that this one's peak?", u.MaxRSS)
	}
}

func TestFailure(t *testing.T) {
	u, err := Run(subject(t, "fail"))
	if err == nil || !strings.Contains(err.Error(), "exit status 7") || u.Wall <= 0 {
		t.Errorf("usage %+v, error %v", u, err)
	}
	if _, err := Run(exec.Command("/none/such")); err == nil {
		t.Error("a command that isn't there ran")
	}
}

func TestAdd(t *testing.T) {
	var sum Usage
	start := time.Now()
	sum.Add(Usage{Start: start, Wall: 1, User: 2, MaxRSS: 5, PSS: 9, Noise: &Noise{Steal: 0.3}})
	sum.Add(Usage{Start: start.Add(time.Second), Wall: 2, System: 1, MaxRSS: 7, PSS: 8, Noise: &Noise{Throttled: 1}})
	if n := sum.Noise; n.Throttled != 1 || n.Steal < 0.09 || n.Steal > 0.11 || len(sum.Noisy) != 2 {
		t.Errorf("got %+v, %q, want a tenth stolen", *n, sum.Noisy)
	}
	sum.Noise, sum.Noisy = nil, nil
	if want := (Usage{Start: start, Wall: 3, User: 2, System: 1, MaxRSS: 7, PSS: 9}); !reflect.DeepEqual(sum, want) {
		t.Errorf("got %+v, want %+v", sum, want)
	}
}

func TestNoise(t *testing.T) {
	before := machine{known: true, busy: 10, all: 100, steal: 1}
	after := machine{known: true, busy: 18, all: 120, steal: 2, throttled: 3, pressure: [3]float64{5, 1, 2}}
	n := between(before, after, 10, 6)
	want := Noise{Steal: 0.05, Others: 0.1, Throttled: 3, PressureCPU: 0.5, PressureMemory: 0.1, PressureIO: 0.2}
	if *n != want {
		t.Errorf("got %+v, want %+v", *n, want)
	}
	if got := n.reasons(); len(got) != 5 {
		t.Errorf("%d reasons, want one for each but the processors' pressure: %q", len(got), got)
	}
	if quiet := between(before, before, 1, 0).reasons(); len(quiet) > 0 {
		t.Errorf("reasons %q for nothing", quiet)
	}
	// A machine that tells nothing flags nothing.
	if n := between(machine{}, machine{}, 1, 1); n != nil {
		t.Errorf("noise %+v from nowhere", n)
	}
}

func TestHost(t *testing.T) {
	h := ReadHost()
	if h.Platform != runtime.GOOS+"/"+runtime.GOARCH || h.Cores < 1 {
		t.Errorf("host %+v", h)
	}
	if runtime.GOOS == "linux" && (h.Memory < 1<<20 || !strings.HasPrefix(h.Kernel, "Linux ")) {
		t.Errorf("host %+v", h)
	}
}
