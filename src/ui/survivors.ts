import type { EventOf, ProcessSummary } from '../events/events.js';

/** So many processes are named one by one. */
const MAX_PROCESSES = 5;

/** A lease was extended for processes that cannot be ended: who they are, and what to do. */
export function aboutSurvivors({ processes, last, expiresAt }: EventOf<'lease.kept'>): {
  text: string;
  hint: string;
} {
  const named = processes ?? [];
  const signals = 'SIGTERM or SIGINT to migrate-lock';
  return {
    text:
      `processes of the command cannot be ended: ${processes === null ? 'they are hidden from us' : namesOf(named)}; ` +
      `the lease was extended ${last ? 'once more, ' : ''}until ${expiresAt}, so that nobody runs beside them`,
    hint:
      `End them as their user${killLine(named)}; the lock is released then. ` +
      (last
        ? `Else the lease runs out. ${signals}: it does not wait for that.`
        : `${signals}: it gives up, and the lease runs out.`),
  };
}

/** `4711 (sleep, user deploy)` */
function namesOf(processes: readonly ProcessSummary[]): string {
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
