import path from 'node:path';
import { ancestors } from '../../child/ancestors.js';
import { MigrateLockError } from '../../errors.js';
import { describeThisProcess, taggedInstances, type HolderDescription } from '../../lock/lease.js';
import { sendToHolder } from './holder-client.js';
import type { HeldLease } from './holder-socket.js';
import { readSocketList } from './socket-list.js';

/** The result of a request to the socket of an enclosing run. */
interface SocketResult {
  socketPath: string;
  lease: HeldLease | undefined;
  /** Why there is no lease. */
  problem: string;
}

/**
 * The innermost enclosing run whose lease is wanted. A run under an outer run's lease answers with that lease: of several
 * runs under one lease, the innermost gives the turns to the runs inside it.
 */
export async function findEnclosing(
  env: NodeJS.ProcessEnv,
  isWanted: (lease: HeldLease) => boolean,
): Promise<{ socketPath: string; lease: HeldLease } | { problems: string[] }> {
  const problems: string[] = [];
  for (const socketPath of readSocketList(env)) {
    const { lease, problem } = await requestLease(socketPath);
    if (lease !== undefined && isWanted(lease)) return { socketPath, lease };
    if (problem !== '') problems.push(problem);
  }
  return { problems };
}

async function requestLease(socketPath: string): Promise<SocketResult> {
  if (socketPath === '')
    return { socketPath, lease: undefined, problem: 'an outer run had no place for a socket' };
  try {
    const answer = await sendToHolder(socketPath, { request: 'describe' });
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

/** Whether this process may be inside another run. The variables may be stale. */
export function mayBeEnclosed(env: NodeJS.ProcessEnv): boolean {
  return readSocketList(env).length > 0 || namedLeases(env).length > 0 || runsAbove().length > 0;
}

/**
 * Whether this process is inside the holder's command: by the instance id in the environment or in PGAPPNAME, or, where the
 * environment was cleared (sudo, `env -i`), because the holder is an ancestor.
 */
export function isAroundUs({ instanceId, host, pid }: HolderDescription, env: NodeJS.ProcessEnv): boolean {
  if (namedLeases(env).includes(instanceId)) return true;
  return host === describeThisProcess(null).host && runsAbove().some((above) => above === pid);
}

function namedLeases({ MIGRATE_LOCK_INSTANCE_ID: own, PGAPPNAME: tag }: NodeJS.ProcessEnv): string[] {
  return [...(own === undefined || own === '' ? [] : [own]), ...taggedInstances(tag)];
}

/** The pids of ancestors that are runs. The program is checked, because hosts with one name can have the same pids. */
function runsAbove(): number[] {
  return ancestors()
    .filter(({ args }) => isRun(args))
    .map(({ pid }) => pid);
}

/** Not what only starts one: `timeout 60 migrate-lock run`, `tini -- migrate-lock run`, `sh -c 'migrate-lock run ...'`. */
function isRun([program = '', ...args]: readonly string[]): boolean {
  const isOurs = (word: string): boolean => /^migrate-lock(\.cjs)?$/.test(path.basename(word));
  const start = args.indexOf('run');
  if (start === -1) return false;
  return (
    isOurs(program) || (/^node(?:js)?$/.test(path.basename(program)) && args.slice(0, start).some(isOurs))
  );
}

/** The error for a run that would wait for itself. */
export function heldAroundUs(holder: HolderDescription, problems: readonly string[]): MigrateLockError {
  const why =
    problems.length === 0 ? 'this process was not given the path of its socket' : problems.join('; ');
  return new MigrateLockError(
    `This run is inside the command of ${holder.instanceId}, which holds the lock, but cannot reach it: ${why}.`,
    {
      code: 'OUTER_RUN_UNREACHABLE',
      exit: 'usage',
      hint:
        'It would wait for itself. Remove the inner migrate-lock run, or run it as the same user, with the environment of ' +
        "the outer run's command, and with a directory for a socket (TMPDIR).",
    },
  );
}
