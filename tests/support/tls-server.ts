import { chmodSync, chownSync, copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import postgres from 'postgres';
import { openSocket } from '../../src/db/socket.js';
import { upgrade } from '../../src/db/tls.js';
import type { Certificate } from './certificates.js';
import type { EmbeddedServer } from './embedded-server.mjs';
import { waitFor } from './wait-for.js';

function fingerprint({ cert }: Certificate): string {
  return new X509Certificate(readFileSync(cert)).fingerprint256;
}

/** What the server shows to new connections. */
async function shown(server: EmbeddedServer): Promise<string | undefined> {
  const { hostname: host, port } = new URL(server.url);
  const plain = await openSocket({ host, port: Number(port) }, 5_000);
  const secure = await upgrade(plain, { ssl: 'require', tls: {} }, 5_000);
  const certificate = secure.getPeerX509Certificate?.()?.fingerprint256;
  secure.destroy();
  return certificate;
}

/**
 * From now on the server shows `own` to new connections, and verifies clients with `clients`. `hba` precedes its other
 * lines.
 */
export async function offerTls(
  server: EmbeddedServer,
  own: Certificate,
  clients: Certificate,
  hba = '',
): Promise<void> {
  const { uid, gid } = statSync(server.dataDirectory);
  for (const [from, name] of [
    [own.cert, 'server.crt'],
    [own.key, 'server.key'],
    [clients.cert, 'root.crt'],
  ] as const) {
    const to = join(server.dataDirectory, name);
    copyFileSync(from, to);
    chownSync(to, uid, gid);
    chmodSync(to, 0o600);
  }
  const file = join(server.dataDirectory, 'pg_hba.conf');
  writeFileSync(file, hba + readFileSync(file, 'utf8'));
  const sql = postgres(server.url, { max: 1, onnotice: () => undefined });
  try {
    const [before] = await sql<{ at: Date }[]>`SELECT pg_conf_load_time() AS at`;
    await sql`ALTER SYSTEM SET ssl_ca_file = 'root.crt'`;
    await sql`ALTER SYSTEM SET ssl = on`;
    await sql`SELECT pg_reload_conf()`;
    await waitFor('the server has read its configuration', async () => {
      const [now] =
        await sql`SELECT pg_conf_load_time() > ${before?.at ?? null} AS later, current_setting('ssl') AS ssl`;
      return now?.later === true && now.ssl === 'on';
    });
    // A session sees the change before the postmaster has read the certificate, which comes last.
    await waitFor('the server shows the certificate', async () => (await shown(server)) === fingerprint(own));
  } finally {
    await sql.end({ timeout: 1 });
  }
}
