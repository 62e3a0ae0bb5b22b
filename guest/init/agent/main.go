// Hullkit's agent tells the host about a system that hullkit did not build. See docs/guest.md, "The agent".
package main

import "hullkit/guest/init/internal/agent"

func main() { agent.Run() }
