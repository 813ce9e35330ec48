import { describe, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { watchPidTurns, type PidCounters } from '../../src/child/pid-turns.js';
import { systemProcessTable } from '../../src/child/process-table.js';

/** Counters of our own making: a small machine that has just given out 1000. */
class MadeUpCounters implements PidCounters {
  values = { last: 1_000, forks: 50_000, threads: 200, highest: 32_768 } as Record<
    string,
    number | undefined
  >;
  lastPid = (): number | undefined => this.values.last;
  forks = (): number | undefined => this.values.forks;
  threads = (): number | undefined => this.values.threads;
  highestPid = (): number | undefined => this.values.highest;
}

describe('whether whoever is younger than a process has a higher pid', () => {
  /** @param later what the counters say some time after the process 1001 was started */
  const afterwards = (later: Record<string, number | undefined>): boolean => {
    const counters = new MadeUpCounters();
    const isBelowAllYounger = watchPidTurns(counters);
    Object.assign(counters.values, later);
    return isBelowAllYounger(1_001);
  };

  test('yes, while few were started since', () => {
    expect(afterwards({ last: 1_001, forks: 50_001 })).toBe(true);
    expect(afterwards({ last: 20_000, forks: 69_000 })).toBe(true);
  });

  test('no, once the numbers have begun anew', () => {
    expect(afterwards({ last: 400, forks: 81_000 })).toBe(false);
  });

  test('no, when they may have come round again', () => {
    // 32,768 - 300 - 3 * 200 are free at least.
    expect(afterwards({ last: 5_000, forks: 50_000 + 31_867 })).toBe(true);
    expect(afterwards({ last: 5_000, forks: 50_000 + 31_868 })).toBe(false);
    expect(afterwards({ last: 5_000, forks: 50_001, threads: 20_000 })).toBe(false);
  });

  test.each(['last', 'forks', 'threads', 'highest'])('no, where the system does not tell (%s)', (name) => {
    expect(afterwards({ last: 1_001, forks: 50_001, [name]: undefined })).toBe(false);
  });

  test('no, where it did not tell before', () => {
    const counters = new MadeUpCounters();
    counters.values.forks = undefined;
    const isBelowAllYounger = watchPidTurns(counters);
    counters.values.forks = 50_001;
    expect(isBelowAllYounger(1_001)).toBe(false);
  });
});

(process.platform === 'linux' ? describe : describe.skip)('this machine', () => {
  test('shows those with higher numbers, and ourselves, and the younger are among them', async () => {
    const isBelowAllYounger = watchPidTurns();
    const [first, second] = [spawn('sleep', ['60']), spawn('sleep', ['60'])];
    try {
      const [one = 0, two = 0] = [first.pid, second.pid];
      // A new turn may have begun just now; then it is not so for this pair.
      expect(isBelowAllYounger(one)).toBe(two > one);
      // Asked for each of a few numbers, and the whole list of many.
      for (const last of [two, two + 1_000]) {
        const pids = (await systemProcessTable().list({ first: one, last })).map(({ pid }) => pid);
        expect(pids).toEqual(expect.arrayContaining([process.pid, one, two]));
        expect(pids.filter((pid) => pid < one && pid !== process.pid)).toEqual([]);
      }
    } finally {
      first.kill('SIGKILL');
      second.kill('SIGKILL');
    }
  });
});
