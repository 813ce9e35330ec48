import { expect } from '@jest/globals';
import type { Check } from '../../../src/doctor/check-results.js';
import { runCli, type CliOptions } from '../../support/run-cli.js';

/** Every check, in the order of the output. */
export interface Found {
  code: number | null;
  checks: Check[];
  of: (name: string) => Check;
}

export async function doctor(url: string, args: string[] = [], options: CliOptions = {}): Promise<Found> {
  const env = { ...options.env, DATABASE_URL: url };
  const { code, stdout, stderr } = await runCli(['doctor', '--json', ...args], {
    ...options,
    env,
    auditOnly: false,
  });
  expect({ stderr }).toEqual({ stderr: '' });
  const checks = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Check);
  expect(code).toBe(checks.some(({ status }) => status === 'fail') ? 1 : 0);
  const of = (name: string): Check => {
    const found = checks.find((check) => check.name === name);
    if (found === undefined)
      throw new Error(`no check ${name}: ${checks.map((check) => check.name).join(', ')}`);
    return found;
  };
  return { code, checks, of };
}
