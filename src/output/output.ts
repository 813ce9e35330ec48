/**
 * Takes lines and never makes the caller wait. Node's own process.stdout does: on a pipe or a terminal it writes in a
 * blocking way, so that a reader that stalls would stop our timers, the child's deadline among them.
 */
export interface Output {
  /** Writes the text and a newline, now or as soon as the reader takes it. Never throws: what cannot be written is lost. */
  writeLine: (text: string) => void;
  /** Waits until nothing is left to write (true), `limitMs` at most (false). Keeps Node alive meanwhile. */
  flush: (limitMs: number) => Promise<boolean>;
  /** Gives up at once what is left, so that it does not keep Node alive. Later lines are ignored. */
  close: () => void;
}

/** An output that also takes what is no line of its own, such as what moves a terminal's cursor. */
export interface RawOutput extends Output {
  /** As writeLine(), without the newline. */
  write: (text: string) => void;
  /** False while something waits for its reader: then what can be left out is better left out. */
  readonly isIdle: boolean;
}
