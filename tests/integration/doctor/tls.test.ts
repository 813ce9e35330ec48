import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Certificates, hasOpenssl } from '../../support/certificates.js';
import { startServer, type EmbeddedServer } from '../../support/embedded-server.mjs';
import { offerTls } from '../../support/tls-server.js';
import { doctor } from './doctor.js';

const ifPossible = hasOpenssl ? test : test.skip;

let server: EmbeddedServer;

beforeAll(async () => {
  server = await startServer();
}, 60_000);
afterAll(() => server.stop());

ifPossible('tls: what the session has, and how it was verified (skipped without openssl)', async () => {
  const certificates = new Certificates();
  try {
    const authority = certificates.authority('authority');
    await offerTls(server, certificates.signed('server', authority, 'IP:127.0.0.1'), authority);
    const details = async (parameters: Record<string, string>): Promise<string> => {
      const url = new URL(server.url);
      for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
      return (await doctor(url.href)).of('tls').detail;
    };
    expect(await details({ sslmode: 'verify-full', sslrootcert: authority.cert })).toBe(
      'TLSv1.3, sslmode=verify-full',
    );
    expect(await details({ sslmode: 'require' })).toBe('TLSv1.3; the server is on this machine');
    expect(await details({ sslmode: 'disable' })).toBe('not encrypted; the server is on this machine');
  } finally {
    certificates.remove();
  }
});
