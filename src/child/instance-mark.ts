/**
 * The environment variable by which a process is recognized after it left its group and its family (setsid, double
 * fork): the ids of all instances that it runs under, outermost first, separated by blanks.
 *
 * It is not MIGRATE_LOCK_INSTANCE_ID: a nested run keeps its holder's id there, but needs a mark of its own, or it
 * would take its siblings for its own leftovers. Whatever migrate-lock starts for itself (guard, relay) is started
 * without the mark: a tree must never count those who watch it.
 */
export const INSTANCE_MARK = 'MIGRATE_LOCK_INSTANCES';

/** `env` with `instanceId` added to the mark. */
export function withMark(env: NodeJS.ProcessEnv, instanceId: string): NodeJS.ProcessEnv {
  const outer = env[INSTANCE_MARK];
  return {
    ...env,
    [INSTANCE_MARK]: outer === undefined || outer === '' ? instanceId : `${outer} ${instanceId}`,
  };
}

/** `env` without the mark, for what migrate-lock starts for itself. */
export function withoutMark(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...env, [INSTANCE_MARK]: undefined };
}

/** Whether a process with this environment (NAME=value strings) runs under the instance. */
export function hasMark(environment: readonly string[], instanceId: string): boolean {
  const mark = environment.find((entry) => entry.startsWith(`${INSTANCE_MARK}=`));
  return (
    mark
      ?.slice(INSTANCE_MARK.length + 1)
      .split(' ')
      .includes(instanceId) ?? false
  );
}
