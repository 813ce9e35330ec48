/** One process. `pid` and `startedAt` together identify it: a pid alone is reused. */
export interface ProcessEntry {
  pid: number;
  parent: number;
  group: number;
  /** Session id; 0 where the system does not show it. */
  session: number;
  /** Start time, comparable only within the same process table. */
  startedAt: number;
  /** It has exited, and its parent has not reaped it yet. */
  zombie: boolean;
  /** Stopped (SIGSTOP, SIGTTIN, a debugger): only SIGKILL and SIGCONT have an effect. */
  stopped: boolean;
}

/** A process as it is shown to people. */
export interface ProcessDescription {
  pid: number;
  /** The user that it runs as: a name, or a uid. */
  user: string;
  /** The program's name. */
  command: string;
}
