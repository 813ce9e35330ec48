import type { OrphanSession } from './answers.js';

/** `4711 (app, active), 4712 (unknown role, state hidden)` */
export function nameSessions(sessions: readonly OrphanSession[]): string {
  return sessions
    .map(({ pid, role, state }) => `${pid} (${role ?? 'unknown role'}, ${state ?? 'state hidden'})`)
    .join(', ');
}
