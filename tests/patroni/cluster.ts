import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder, serverAccount } from '../support/embedded/account.mjs';
import { freePort } from '../support/embedded/port.mjs';
import { hasHaproxy, startHaproxy, type Haproxy } from '../support/haproxy.js';
import { waitFor } from '../support/wait-for.js';
import { keep, type Kept } from './keeper.js';
import { PatroniNode } from './node.js';
import { PROGRAMS } from './programs.js';

const NAMES = ['one', 'two', 'three'];
const HEALTHY_LIMIT_MS = 120_000;

interface Member {
  name: string;
  role: string;
  state: string;
  timeline?: number;
  lag?: number | string;
}

/** Three nodes with Patroni, one etcd, and HAProxy where it is installed; all on this machine. */
export class PatroniCluster {
  #password = randomBytes(12).toString('hex');
  #haproxy: Haproxy | undefined;
  nodes: PatroniNode[] = [];

  private constructor(
    readonly folder: string,
    readonly etcd: Kept,
    readonly isSynchronous: boolean,
  ) {}

  static async start(isSynchronous: boolean): Promise<PatroniCluster> {
    const folder = makeFolder(serverAccount());
    const [client, peer] = [await freePort(), await freePort()];
    const [clients, peers] = [`http://127.0.0.1:${client}`, `http://127.0.0.1:${peer}`];
    const words = [
      ...[PROGRAMS.etcd, '--name', 'etcd', '--data-dir', join(folder, 'etcd')],
      ...['--listen-client-urls', clients, '--advertise-client-urls', clients],
      ...['--listen-peer-urls', peers, '--initial-advertise-peer-urls', peers],
      ...['--initial-cluster', `etcd=${peers}`],
    ];
    const etcd = await keep(words, join(folder, 'etcd.log'), folder);
    const cluster = new PatroniCluster(folder, etcd, isSynchronous);
    try {
      await waitFor('etcd', async () => (await fetch(`${clients}/health`)).ok);
      for (const name of NAMES) {
        const password = cluster.#password;
        cluster.nodes.push(
          await PatroniNode.create({ name, folder, etcdPort: client, password, isSynchronous }),
        );
      }
      await cluster.waitUntilHealthy();
      if (hasHaproxy) {
        cluster.#haproxy = await startHaproxy([
          'option httpchk GET /primary',
          'http-check expect status 200',
          'default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions',
          ...cluster.nodes.map(
            ({ name, port, restPort }) => `server ${name} 127.0.0.1:${port} check port ${restPort}`,
          ),
        ]);
      }
      return cluster;
    } catch (error) {
      const logs = cluster.nodes.map((node) => node.log().slice(-2_000)).join('\n---\n');
      await cluster.stop();
      throw new Error(`the cluster did not start; the logs end with:\n${logs}`, { cause: error });
    }
  }

  /** All nodes in one URL, and HAProxy's where it is installed. */
  get urls(): string[] {
    const user = `postgres:${this.#password}`;
    const hosts = this.nodes.map(({ port }) => `127.0.0.1:${port}`).join(',');
    const all = `postgres://${user}@${hosts}/postgres?target_session_attrs=read-write`;
    const address = `postgres://${user}@127.0.0.1/postgres`;
    return this.#haproxy === undefined ? [all] : [all, this.#haproxy.through(address)];
  }

  urlOf(node: PatroniNode): string {
    return `postgres://postgres:${this.#password}@127.0.0.1:${node.port}/postgres`;
  }

  /** What the first node that answers says of the cluster. */
  async members(): Promise<Member[]> {
    const answers = this.nodes
      .filter((node) => !node.isDown)
      .map(async ({ restPort }) => {
        const response = await fetch(`http://127.0.0.1:${restPort}/cluster`, {
          signal: AbortSignal.timeout(2_000),
        });
        return ((await response.json()) as { members: Member[] }).members;
      });
    return Promise.any(answers);
  }

  async leader(other?: PatroniNode): Promise<PatroniNode> {
    return waitFor(
      'a leader',
      async () => {
        const name = (await this.members()).find(({ role }) => role === 'leader')?.name;
        return this.nodes.find((node) => node.name === name && node !== other);
      },
      { limitMs: HEALTHY_LIMIT_MS, intervalMs: 200 },
    );
  }

  /** Hands over to another node, as an administrator does. */
  async switchOver(): Promise<void> {
    const { name, restPort } = await this.leader();
    const response = await fetch(`http://127.0.0.1:${restPort}/switchover`, {
      method: 'POST',
      body: JSON.stringify({ leader: name }),
    });
    if (!response.ok) throw new Error(`the switchover failed: ${await response.text()}`);
  }

  /** Every node runs, follows the leader, and one is the synchronous standby if the cluster is to have one. */
  async waitUntilHealthy(): Promise<void> {
    for (const node of this.nodes) {
      if (node.isDown) await node.start();
      else node.resume();
    }
    await waitFor(
      'a healthy cluster',
      async () => {
        const members = await this.members();
        const states = members.map(({ role, state }) => `${role} ${state}`).join(', ');
        const runs = members.every(
          ({ role, state, lag }) => /running|streaming/.test(state) && (role === 'leader' || lag === 0),
        );
        const timelines = new Set(members.map(({ timeline }) => timeline));
        const isSynchronous = members.some(({ role }) => role === 'sync_standby');
        const isHealthy =
          members.length === NAMES.length &&
          runs &&
          timelines.size === 1 &&
          states.includes('leader') &&
          isSynchronous === this.isSynchronous;
        if (!isHealthy) throw new Error(states);
        return true;
      },
      { limitMs: HEALTHY_LIMIT_MS, intervalMs: 300 },
    );
  }

  async stop(): Promise<void> {
    await this.#haproxy?.stop();
    for (const node of this.nodes) await node.stop();
    await this.etcd.end();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}
