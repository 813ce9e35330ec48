import { randomBytes } from 'node:crypto';

/**
 * The environment variable that identifies a process after it left its group and its parents (setsid, double fork). It
 * holds the marks of all enclosing runs, outermost first, separated by blanks.
 *
 * A mark is not the instance id. The id is public, so any user could set it in an unrelated process, which root would then
 * signal. A nested run shares its holder's id, but has its own mark, so that it does not count its siblings as leftovers.
 * The guard and the relay have no mark, so that a tree never includes them.
 */
const INSTANCE_MARK = 'MIGRATE_LOCK_INSTANCES';

/**
 * A mark that other users cannot know. It is only in an environment or in a pipe, never in an argument, an event or a row.
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

/** `env` without any mark, for the guard and the relay. */
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
