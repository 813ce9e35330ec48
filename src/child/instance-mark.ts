import { randomBytes } from 'node:crypto';

/**
 * The environment variable by which a process is recognized after it left its group and its family (setsid, double
 * fork): the marks of all runs that it is inside of, outermost first, separated by blanks.
 *
 * A mark is not the instance id. An id is public (pg_stat_activity, events), and any user may put it into the environment
 * of his processes: they would be counted and, by root, signalled. And a nested run has its holder's id, but needs a mark
 * of its own, or it would take its siblings for its own leftovers. What migrate-lock starts for itself (guard, relay) has
 * no mark: a tree must never count those who watch it.
 */
export const INSTANCE_MARK = 'MIGRATE_LOCK_INSTANCES';

/**
 * A mark that nobody else can know. It is only ever in an environment or in a pipe, where other users cannot read it: never
 * in an argument, an event or a row.
 */
export function newMark(): string {
  return randomBytes(24).toString('base64url');
}

/** `env` with `mark` added to those of the outer runs. */
export function withMark(env: NodeJS.ProcessEnv, mark: string): NodeJS.ProcessEnv {
  const outer = env[INSTANCE_MARK];
  return {
    ...env,
    [INSTANCE_MARK]: outer === undefined || outer === '' ? mark : `${outer} ${mark}`,
  };
}

/** `env` without any mark, for what migrate-lock starts for itself. */
export function withoutMark(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...env, [INSTANCE_MARK]: undefined };
}

/** Whether a process with this environment (NAME=value strings) carries the mark. */
export function hasMark(environment: readonly string[], mark: string): boolean {
  const marks = environment.find((entry) => entry.startsWith(`${INSTANCE_MARK}=`));
  return (
    marks
      ?.slice(INSTANCE_MARK.length + 1)
      .split(' ')
      .includes(mark) ?? false
  );
}
