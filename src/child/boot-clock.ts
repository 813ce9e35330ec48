import { readFileSync } from 'node:fs';

/**
 * Tenths of a second since the machine was started: a clock that no step moves, that goes on while the machine sleeps
 * (performance.now() does not), and that a shell can read too. Undefined where there is no /proc/uptime.
 */
export function bootTenths(): number | undefined {
  try {
    return Math.floor(Number.parseFloat(readFileSync('/proc/uptime', 'utf8')) * 10);
  } catch {
    return undefined;
  }
}
