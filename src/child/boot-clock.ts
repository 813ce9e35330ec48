import { readFileSync } from 'node:fs';

/**
 * Tenths of a second since boot. Unlike performance.now(), this clock advances while the machine is suspended, and a shell
 * can read it. Undefined where there is no /proc/uptime.
 */
export function bootTenths(): number | undefined {
  try {
    return Math.floor(Number.parseFloat(readFileSync('/proc/uptime', 'utf8')) * 10);
  } catch {
    return undefined;
  }
}
