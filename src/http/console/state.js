// How the broker's states are shown.

/** The state's words and colour, by its name in the API. */
export const LOOK = {
  starting: ["Starting", "warn"],
  ready: ["Serving", "good"],
  full: ["Disk full", "warn"],
  shutting_down: ["Shutting down", "warn"],
  poisoned: ["Database failed", "bad"],
};
