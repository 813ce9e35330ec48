import { createHash } from 'node:crypto';

/** The hash of a signature algorithm, by its object identifier (the bytes of the DER encoding, in hexadecimal). */
const HASHES = new Map([
  ['2a864886f70d010104', 'md5'], // RSA
  ['2a864886f70d010105', 'sha1'],
  ['2a864886f70d01010e', 'sha224'],
  ['2a864886f70d01010b', 'sha256'],
  ['2a864886f70d01010c', 'sha384'],
  ['2a864886f70d01010d', 'sha512'],
  ['2a8648ce3d0401', 'sha1'], // ECDSA
  ['2a8648ce3d040301', 'sha224'],
  ['2a8648ce3d040302', 'sha256'],
  ['2a8648ce3d040303', 'sha384'],
  ['2a8648ce3d040304', 'sha512'],
  ['2b0e03021a', 'sha1'], // the hashes themselves, as parameters of RSA-PSS
  ['608648016503040204', 'sha224'],
  ['608648016503040201', 'sha256'],
  ['608648016503040202', 'sha384'],
  ['608648016503040203', 'sha512'],
]);
const RSA_PSS = '2a864886f70d01010a';
const FIRST_PARAMETER = 0xa0;

/**
 * The hash for tls-server-end-point (RFC 5929): the hash algorithm of the certificate's signature, and SHA-256
 * in place of MD5 and SHA-1.
 * @returns undefined where the signature has no such hash (EdDSA), or an unknown one.
 */
export function certificateHash(certificate: Buffer): Buffer | undefined {
  const name = signatureHash(certificate);
  if (name === undefined) return undefined;
  const strong = name === 'md5' || name === 'sha1' ? 'sha256' : name;
  return createHash(strong).update(certificate).digest();
}

function signatureHash(certificate: Buffer): string | undefined {
  const [, algorithm] = childrenOf(childrenOf(certificate)[0]?.body);
  const [id, parameters] = childrenOf(algorithm?.body);
  const oid = id?.body.toString('hex') ?? '';
  if (oid !== RSA_PSS) return HASHES.get(oid);
  const hash = childrenOf(parameters?.body).find(({ tag }) => tag === FIRST_PARAMETER);
  if (hash === undefined) return 'sha1';
  const [hashId] = childrenOf(childrenOf(hash.body)[0]?.body);
  return HASHES.get(hashId?.body.toString('hex') ?? '');
}

/** The first few DER elements of `bytes`. */
function childrenOf(bytes: Buffer = Buffer.alloc(0)): { tag: number; body: Buffer }[] {
  const found: { tag: number; body: Buffer }[] = [];
  for (let at = 0; at + 2 <= bytes.length && found.length < 4;) {
    const tag = bytes.readUInt8(at);
    let length = bytes.readUInt8(at + 1);
    at += 2;
    if (length >= 0x80) {
      const size = length - 0x80;
      if (size < 1 || size > 4 || at + size > bytes.length) break;
      length = bytes.readUIntBE(at, size);
      at += size;
    }
    found.push({ tag, body: bytes.subarray(at, at + length) });
    at += length;
  }
  return found;
}
