import type { EventOf, ProcessSummary } from '../events/events.js';

/** The maximum of processes that are named. */
const MAX_PROCESSES = 5;

/** The message about a lease that was extended for processes that cannot be ended. */
export function aboutSurvivors({ processes, last, expiresAt }: EventOf<'lease.kept'>): {
  text: string;
  hint: string;
} {
  const named = processes ?? [];
  return {
    text:
      `processes of the command cannot be ended: ${processes === null ? 'they are hidden from us' : listOf(named)}; ` +
      `the lease was extended ${last ? 'once more, ' : ''}until ${expiresAt}, so that no other run starts beside them`,
    hint:
      `End them as their user${killLine(named)}; the lock is released then. ` +
      (last
        ? 'Otherwise the lease expires. After SIGTERM or SIGINT, migrate-lock does not wait for that.'
        : 'After SIGTERM or SIGINT, migrate-lock gives up, and the lease expires.'),
  };
}

/** `4711 (sleep, user deploy)` */
function listOf(processes: readonly ProcessSummary[]): string {
  const named = processes
    .slice(0, MAX_PROCESSES)
    .map(({ pid, command, user }) => `${pid} (${command}, user ${user})`);
  const more = processes.length - named.length;
  return [...named, ...(more > 0 ? [`${more} more`] : [])].join(', ');
}

function killLine(processes: readonly ProcessSummary[]): string {
  const pids = processes.slice(0, MAX_PROCESSES).map(({ pid }) => pid);
  return pids.length === 0 ? '' : ` (sudo kill ${pids.join(' ')})`;
}
