import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { etcdctlLock, flock, hasEtcd, hasFlock, migrateLock, withlock } from './contenders.mjs';
import { figure, ratio } from './findings.mjs';
import { time } from './processes.mjs';

const WARM_UP = 3;
const ROUNDS = 41;
const ON_SOCKETS = 'migrate-lock, on sockets';

/** What a run costs that need not wait: process start, lock, `true`, release, guard included. */
/** @type {import('./rows.mjs').Row} */
export const startUp = {
  name: 'start-up',
  async measure({ server, say }) {
    const url = await server.newDatabase();
    const folder = mkdtempSync(join(tmpdir(), 'migrate-lock-bench-'));
    /** @type {Record<string, import('./contenders.mjs').Contender>} */
    const contenders = { 'migrate-lock': migrateLock(url), withlock: withlock(url) };
    if (hasFlock()) contenders['flock'] = flock(join(folder, 'lock'));
    else say('no flock here: left out');
    if (hasEtcd()) contenders['etcdctl'] = etcdctlLock;
    else say('no etcdctl with an etcd here: left out');
    contenders[ON_SOCKETS] = migrateLock(url);
    try {
      const { times, cpu } = await interleaved(contenders);
      /** @param {string} name */
      const series = (name) => ({ name, values: times.get(name) ?? [] });
      /** @param {string} name */
      const cpuOf = (name) => ({ name, values: [cpu.get(name) ?? NaN] });
      const ours = series('migrate-lock');
      const unit = 'ms';
      const what = 'start-up: lock, run `true`, release, guard included, against';
      return [
        ratio(`${what} \`withlock x -- true\``, ours, series('withlock'), { must: 1.05, aim: 0.9, unit }),
        ratio(
          'CPU time of that start-up, against `withlock x -- true`',
          cpuOf('migrate-lock'),
          cpuOf('withlock'),
          {
            must: 0.85,
            aim: 0.7,
            unit,
          },
        ),
        figure(
          'start-up of `migrate-lock` where stdout and stderr are sockets (systemd)',
          series(ON_SOCKETS),
          { unit },
        ),
        ...['flock', 'etcdctl']
          .filter((name) => name in contenders)
          .map((name) => figure(`start-up of \`${name}\``, series(name), { unit })),
      ];
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

/**
 * Rounds of all contenders, each round beginning with another one: none always follows the same.
 * @param {Record<string, import('./contenders.mjs').Contender>} contenders
 */
export async function interleaved(contenders) {
  const names = Object.keys(contenders);
  const times = new Map(names.map((name) => [name, /** @type {number[]} */ ([])]));
  const cpu = new Map(names.map((name) => [name, 0]));
  for (let round = -WARM_UP; round < ROUNDS; round++) {
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(Math.abs(round) + turn) % names.length] ?? '';
      const program = /** @type {any} */ (contenders)[name](['true']);
      const before = childrenCpuMs();
      const tookMs = await time(program, { sockets: name === ON_SOCKETS });
      if (round < 0) continue;
      times.get(name)?.push(tookMs);
      cpu.set(name, (cpu.get(name) ?? 0) + (childrenCpuMs() - before) / ROUNDS);
    }
  }
  return { times, cpu };
}

/** The CPU time of all children that were waited for, and of theirs; the kernel counts it in ticks of 10 ms. */
function childrenCpuMs() {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[13]) + Number(fields[14])) * 10;
}
