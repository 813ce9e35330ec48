/**
 * The one table of exit codes. `--help` prints it, and a test compares docs/cli.md.
 * 64 to 78 are those of BSD's sysexits.h, 124 to 127 those of coreutils' timeout and env.
 */
export const EXIT_CODES = {
  internal: {
    code: 1,
    meaning: 'a limit of the system was reached, or a defect in migrate-lock: please report it',
  },
  usage: { code: 64, meaning: 'usage: an option or a value is wrong' },
  tampered: { code: 65, meaning: 'history --verify: the history of the lock was changed' },
  unreachable: { code: 69, meaning: 'the database could not be reached within the wait timeout' },
  lost: {
    code: 70,
    meaning: 'the lease was lost: another instance held the lock before this run released it',
  },
  notStored: { code: 73, meaning: 'with --once: the command succeeded, but that could not be recorded' },
  cutOff: {
    code: 74,
    meaning: 'the command exited with 0, but --max-block had ended a statement or a session of it',
  },
  conflict: { code: 75, meaning: 'the lock was not acquired in time (--conflict-exit-code changes it)' },
  denied: { code: 77, meaning: 'the database role lacks a right' },
  refused: {
    code: 78,
    meaning: 'the database refused the connection (password, no such database, TLS, version)',
  },
  deadline: { code: 124, meaning: 'the command was ended at its deadline, before the lease expired' },
  notExecutable: { code: 126, meaning: 'the command was found but cannot be executed' },
  notFound: { code: 127, meaning: 'the command was not found' },
} as const;

export type ExitReason = keyof typeof EXIT_CODES;

/** What a shell reports for a process that died of signal number `n`: 128 + n. */
export const SIGNAL_EXIT_BASE = 128;
