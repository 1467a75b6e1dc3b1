package targets

import (
	"os"

	"golang.org/x/sys/windows"
)

// terminalSize returns the columns and rows of the console that f is, or 0:
// also where the console doesn't take escape sequences.
func terminalSize(f *os.File) (columns, rows int) {
	h := windows.Handle(f.Fd())
	var mode uint32
	var info windows.ConsoleScreenBufferInfo
	if windows.GetConsoleMode(h, &mode) != nil || windows.GetConsoleScreenBufferInfo(h, &info) != nil {
		return 0, 0
	}
	if windows.SetConsoleMode(h, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) != nil {
		return 0, 0
	}
	return int(info.Window.Right-info.Window.Left) + 1, int(info.Window.Bottom-info.Window.Top) + 1
}

func flush(*os.File) error { return nil }
