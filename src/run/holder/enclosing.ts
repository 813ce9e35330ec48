import path from 'node:path';
import { ancestors } from '../../child/ancestors.js';
import { MigrateLockError } from '../../errors.js';
import { describeThisProcess, taggedInstances, type HolderDescription } from '../../lock/lease.js';
import { askHolder } from './ask-holder.js';
import type { HeldLease } from './holder-socket.js';
import { readSocketList } from './socket-list.js';

/** What an enclosing run's socket led to. */
interface Asked {
  socketPath: string;
  lease: HeldLease | undefined;
  /** Why there was no answer that counts. */
  problem: string;
}

/**
 * The innermost run around us whose lease is the one that is looked for. A run that itself runs under an outer run's lease
 * answers for it: of several with one lease, the innermost gives the turns to those inside of it.
 */
export async function findEnclosing(
  env: NodeJS.ProcessEnv,
  isWanted: (lease: HeldLease) => boolean,
): Promise<{ socketPath: string; lease: HeldLease } | { problems: string[] }> {
  const problems: string[] = [];
  for (const socketPath of readSocketList(env)) {
    const { lease, problem } = await ask(socketPath);
    if (lease !== undefined && isWanted(lease)) return { socketPath, lease };
    if (problem !== '') problems.push(problem);
  }
  return { problems };
}

async function ask(socketPath: string): Promise<Asked> {
  if (socketPath === '')
    return { socketPath, lease: undefined, problem: 'an outer run had no place for a socket' };
  try {
    const answer = await askHolder(socketPath, { request: 'describe' });
    return {
      socketPath,
      lease: answer.ok ? answer.lease : undefined,
      problem: answer.ok ? '' : answer.message,
    };
  } catch (error) {
    const cause = error instanceof MigrateLockError ? (error.cause ?? error) : error;
    return { socketPath, lease: undefined, problem: cause instanceof Error ? cause.message : String(cause) };
  }
}

/** Whether anything says that this process is inside of another run. It may be left over. */
export function mayBeEnclosed(env: NodeJS.ProcessEnv): boolean {
  return readSocketList(env).length > 0 || namedLeases(env).length > 0 || runsAbove().length > 0;
}

/**
 * Whether the holder is a run that this process is inside of: by its instance id in the environment, by the name that
 * our database sessions would have, or, where the environment was cleaned (sudo, `env -i`), because it is above us.
 */
export function isAroundUs({ instanceId, host, pid }: HolderDescription, env: NodeJS.ProcessEnv): boolean {
  if (namedLeases(env).includes(instanceId)) return true;
  return host === describeThisProcess(null).host && runsAbove().some((above) => above === pid);
}

function namedLeases({ MIGRATE_LOCK_INSTANCE_ID: own, PGAPPNAME: tag }: NodeJS.ProcessEnv): string[] {
  return [...(own === undefined || own === '' ? [] : [own]), ...taggedInstances(tag)];
}

/** The pids of the runs above us. Hosts can share a name, and have the same pids: another program of that pid is no holder. */
function runsAbove(): number[] {
  return ancestors()
    .filter(
      ({ args }) =>
        args.includes('run') && args.some((arg) => /^migrate-lock(\.cjs)?$/.test(path.basename(arg))),
    )
    .map(({ pid }) => pid);
}

/** This run would wait for itself. */
export function heldAroundUs(holder: HolderDescription, problems: readonly string[]): MigrateLockError {
  const why = problems.length === 0 ? 'no socket of it was passed on to this process' : problems.join('; ');
  return new MigrateLockError(
    `The lock is held by ${holder.instanceId}, inside whose command this run is, but which it cannot ask: ${why}.`,
    {
      code: 'OUTER_RUN_UNREACHABLE',
      exit: 'usage',
      hint:
        'To wait would be to wait for itself. Leave out the inner migrate-lock run, or run it as the same user, with the ' +
        "environment of the outer run's command, and with a place for a socket (TMPDIR).",
    },
  );
}
