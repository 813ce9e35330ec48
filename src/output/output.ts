/**
 * Takes lines and never blocks the caller. Node's process.stdout blocks on a pipe or a terminal,
 * so a stalled reader would stop the timers, the child's deadline among them.
 */
export interface Output {
  /**
   * Writes the text and a newline, now or as soon as the reader takes it. Never throws: lines that cannot be written
   * are lost.
   */
  writeLine: (text: string) => void;
  /** A line could not be written because the reader has gone; absent: that is not known. */
  readonly isGone?: boolean;
  /** A line was lost for another reason, such as a full disk; absent: that is not known. */
  readonly hasLost?: boolean;
  /** False while something waits for its reader; absent: that is not known. */
  readonly isIdle?: boolean;
  /** Waits until nothing is left to write (true), `limitMs` at most (false). Keeps Node running during the wait. */
  flush: (limitMs: number) => Promise<boolean>;
  /** Drops the remaining lines, so that they do not keep Node running. Later lines are ignored. */
  close: () => void;
}

/** An output that also takes text without a newline, such as a terminal's cursor movements. */
export interface RawOutput extends Output {
  /** As writeLine(), without the newline. */
  write: (text: string) => void;
  /** False while something waits for its reader: optional output should then be skipped. */
  readonly isIdle: boolean;
}
