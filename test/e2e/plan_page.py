"""Page 0 of a plan file, changed and sealed again: the checksum of runtime/support/Hash.h.

Written from the comment there, so that a test can make a well-formed plan of another version or
for another processor without the writer.
"""

MASK = (1 << 64) - 1
PAGE, HASH_AT = 4096, 4080
VERSION_AT, BODY_HASH_AT, ARCH_AT, ARCH_BYTES = 8, 24, 120, 64
LANES, STRIPES, WORDS = 8, 16, 32


def make_secret():
    words, state = [], 0x6C6C6D63
    for _ in range(WORDS):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        words.append(z ^ (z >> 31))
    return words


SECRET = make_secret()


def rotate(word, by):
    return ((word << by) | (word >> (64 - by))) & MASK


def fold(a, b):
    product = a * b
    return (product & MASK) ^ (product >> 64)


def avalanche(word):
    word ^= word >> 37
    word = (word * 0x165667919E3779F9) & MASK
    return word ^ (word >> 32)


def hash128(data):
    """(low, high) of some bytes."""
    lanes = [SECRET[WORDS - 1 - i] for i in range(LANES)]
    padded = data + bytes(-len(data) % 64)
    for stripe in range(len(padded) // 64):
        piece = padded[stripe * 64 : stripe * 64 + 64]
        words = [int.from_bytes(piece[i * 8 : i * 8 + 8], "little") for i in range(LANES)]
        for i in range(LANES):
            keyed = words[i] ^ SECRET[stripe % STRIPES + i]
            add = words[i ^ 1] + (keyed & 0xFFFFFFFF) * (keyed >> 32)
            lanes[i] = (lanes[i] + add) & MASK
        if stripe % STRIPES == STRIPES - 1:
            for i in range(LANES):
                lanes[i] ^= lanes[i] >> 47
                lanes[i] ^= SECRET[STRIPES + i]
                lanes[i] = (lanes[i] * 0x9E3779B1) & MASK
    low = (len(data) * 0x9E3779B185EBCA87) & MASK
    high = ((~len(data) & MASK) * 0xC2B2AE3D27D4EB4F) & MASK
    for i in range(0, LANES, 2):
        low += fold(lanes[i] ^ SECRET[i], lanes[i + 1] ^ SECRET[i + 1])
        high += fold(lanes[i] ^ SECRET[i + 9], rotate(lanes[i + 1], 32) ^ SECRET[i + 10])
    low, high = low & MASK, high & MASK
    return avalanche(low), avalanche(high ^ rotate(low, 17))


def sealed(data):
    """The plan with the checksum of its page 0 made right."""
    low, high = hash128(bytes(data[:HASH_AT]))
    seal = low.to_bytes(8, "little") + high.to_bytes(8, "little")
    return bytes(data[:HASH_AT]) + seal + bytes(data[PAGE:])


def with_version(data, version):
    changed = bytearray(data)
    changed[VERSION_AT : VERSION_AT + 4] = version.to_bytes(4, "little")
    return sealed(changed)


def with_arch(data, arch):
    """The plan for another processor: in page 0 and in the table, both sealed again."""
    changed = bytearray(data)
    was = bytes(changed[ARCH_AT : ARCH_AT + ARCH_BYTES]).rstrip(b"\0")
    if len(was) != len(arch):
        raise ValueError(f"{arch} is not as long as {was.decode()}")
    at = changed.index(was, PAGE)
    changed[at : at + len(was)] = arch.encode()
    changed[ARCH_AT : ARCH_AT + len(was)] = arch.encode()
    low, high = hash128(bytes(changed[PAGE:]))
    changed[BODY_HASH_AT : BODY_HASH_AT + 8] = low.to_bytes(8, "little")
    changed[BODY_HASH_AT + 8 : BODY_HASH_AT + 16] = high.to_bytes(8, "little")
    return sealed(changed)
