import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { whyNotStarted } from '../child/guard-command.js';
import { ownFile } from '../child/proc-files.js';
import { systemProcessTable } from '../child/process-table.js';
import { hasOwnApplicationName } from '../run/child-environment.js';
import { openHolderSocket } from '../run/holder/holder-socket.js';
import { ok, warn, type Check } from './check-results.js';
import { UNSET_NAME } from './session-names.js';

const SHELL = '/bin/sh';
const SHELL_LIMIT_MS = 5_000;
/** migrate-lock itself needs some 30, and the command gets the same limit. */
const FEW_OPEN_FILES = 256;
/** migrate-lock with its guard and a small command. */
const FEW_PROCESSES = 64;

/** What a run needs of this machine. A socket is opened and closed again; nothing else is changed. */
export async function checkMachine(env: NodeJS.ProcessEnv): Promise<Check[]> {
  return [
    judgeProcesses(systemProcessTable().shows),
    checkShell(),
    await checkSocket(env),
    checkName(env),
    ...judgeLimits(readLimits()),
  ];
}

function judgeProcesses(shows: ReturnType<typeof systemProcessTable>['shows']): Check {
  const name = 'process-table';
  switch (shows) {
    case 'all':
      return ok(name, 'every process of the command can be found');
    case 'own':
      return warn(
        name,
        '/proc hides the processes of other users (hidepid)',
        'Processes of the command that run as another user are not ended. Mount /proc without hidepid, if the command has such ones.',
      );
    case 'none':
      return warn(
        name,
        '/proc is not there, or is that of another PID namespace',
        'Processes that the command leaves running are not ended. Give the container its own /proc.',
      );
  }
}

function checkShell(): Check {
  const name = 'shell';
  if (!existsSync('/dev/null'))
    return warn(
      name,
      'there is no /dev/null',
      'There is no guard without it: when migrate-lock is killed, its command goes on. Give the container the devices of /dev.',
    );
  const { error, status } = spawnSync(SHELL, ['-c', 'exit 0'], { timeout: SHELL_LIMIT_MS, stdio: 'ignore' });
  if (error === undefined && status === 0) return ok(name, `${SHELL}, for the guard`);
  const why = error === undefined ? `${SHELL} does not work` : whyNotStarted(SHELL, error);
  return warn(
    name,
    why,
    'The guard is then migrate-lock itself: two processes of about 50 MB each. --check, --recover and --on-event need a shell.',
  );
}

async function checkSocket(env: NodeJS.ProcessEnv): Promise<Check> {
  const socket = await openHolderSocket(env);
  try {
    return socket.path === undefined
      ? warn(
          'socket',
          socket.problem,
          'Give it a writable TMPDIR that other users cannot replace: without it the command cannot extend its lease, and a run inside it fails.',
        )
      : ok('socket', 'the command can reach its holder');
  } finally {
    socket.close();
  }
}

function checkName(env: NodeJS.ProcessEnv): Check {
  const name = 'PGAPPNAME';
  return hasOwnApplicationName(env)
    ? warn(name, 'is set: what the command leaves in the database when it is killed is not found', UNSET_NAME)
    : ok(name, 'is free for the name of the lease');
}

interface Limits {
  /** The hard limit, which Node.js takes. null: none, or not known. */
  openFiles: number | null;
  /** How many more processes and threads this user may start. null: no limit, or not known. */
  processesLeft: number | null;
}

export function judgeLimits({ openFiles, processesLeft }: Limits): Check[] {
  const files = openFiles === null ? 'no limit found' : `at most ${openFiles}`;
  const left =
    processesLeft === null
      ? 'no limit found'
      : `this user may start ${Math.max(0, processesLeft)} more processes or threads`;
  return [
    openFiles !== null && openFiles < FEW_OPEN_FILES
      ? warn('open-files', files, 'Raise the hard limit: ulimit -H -n 1024.')
      : ok('open-files', files),
    processesLeft !== null && processesLeft < FEW_PROCESSES
      ? warn('processes', left, 'Raise the limit (ulimit -u): a run needs a guard and the command.')
      : ok('processes', left),
  ];
}

/** Root has no limit of processes. */
function readLimits(): Limits {
  const limits = ownFile('limits');
  const most = Number(/^Max processes +(\d+)/m.exec(limits)?.[1] ?? NaN);
  const files = Number(/^Max open files +\S+ +(\d+)/m.exec(limits)?.[1] ?? NaN);
  return {
    openFiles: Number.isNaN(files) ? null : files,
    processesLeft: Number.isNaN(most) || process.getuid?.() === 0 ? null : most - ownThreads(),
  };
}

/** The threads of this user, which count for the limit. */
function ownThreads(): number {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .reduce((sum, pid) => sum + threadsOf(pid), 0);
}

function threadsOf(pid: string): number {
  try {
    if (statSync(`/proc/${pid}`).uid !== process.getuid?.()) return 0;
    return readdirSync(`/proc/${pid}/task`).length;
  } catch {
    return 0; // it has ended
  }
}
