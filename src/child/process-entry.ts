/** One process. Its identity is `pid` and `startedAt` together: a pid alone is used again. */
export interface ProcessEntry {
  pid: number;
  parent: number;
  group: number;
  /** Session id; 0 where the system does not tell. */
  session: number;
  /** Start time in units that only compare with those of the same table. */
  startedAt: number;
  /** Ended, but not yet reaped by its parent: it runs no code and holds nothing. */
  zombie: boolean;
  /** Stopped (SIGSTOP, SIGTTIN, a debugger): it acts on no signal but SIGKILL and SIGCONT. */
  stopped: boolean;
}

/** Who a process is, for people. */
export interface ProcessDescription {
  pid: number;
  /** The name of the user as whom it runs, or its number. */
  user: string;
  /** The program's name. */
  command: string;
}
