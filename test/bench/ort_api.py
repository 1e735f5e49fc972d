"""ONNX Runtime's C interface through ctypes, as far as its allocator statistics need it.

The Python package shows no statistics, and its sessions do not show their allocators; the shared
library beside it exports OrtGetApiBase. Functions are entries of one table whose order never
changes (`ort_api_1_to_N` in onnxruntime/core/session/onnxruntime_c_api.cc); the anchors of its
static_asserts are kept below next to what is used.
"""

import ctypes
import pathlib

import numpy as np

API_VERSION = 23  # the first with AllocatorGetStats
FUNCTIONS = {
    "GetErrorMessage": 2,
    "CreateEnv": 3,
    "CreateSession": 7,
    "CreateSessionOptions": 10,
    "EnableMemPattern": 16,
    "SetSessionGraphOptimizationLevel": 23,
    "SetIntraOpNumThreads": 24,
    "SessionGetInputCount": 30,
    "SessionGetOutputCount": 31,
    "SessionGetInputTypeInfo": 33,
    "SessionGetInputName": 36,
    "SessionGetOutputName": 37,
    "CreateTensorWithDataAsOrtValue": 49,
    "CastTypeInfoToTensorInfo": 55,
    "GetTensorElementType": 60,
    "GetDimensionsCount": 61,
    "GetDimensions": 62,
    "GetTensorTypeAndShape": 65,
    "CreateCpuMemoryInfo": 69,
    "AllocatorAlloc": 75,
    "AllocatorFree": 76,
    "GetAllocatorWithDefaultOptions": 78,
    "ReleaseEnv": 92,
    "ReleaseStatus": 93,
    "ReleaseSession": 95,
    "ReleaseValue": 96,
    "ReleaseTypeInfo": 98,
    "ReleaseTensorTypeAndShapeInfo": 99,
    "ReleaseSessionOptions": 100,  # version 1 ends with 101
    "AddSessionConfigEntry": 130,
    "CreateAllocator": 131,
    "ReleaseAllocator": 132,
    "RunWithBinding": 133,
    "CreateIoBinding": 134,
    "ReleaseIoBinding": 135,
    "BindInput": 136,
    "BindOutput": 137,
    "BindOutputToDevice": 138,
    "GetBoundOutputValues": 140,
    "CreateAndRegisterAllocator": 144,  # version 5 ends with 149
    "CreateArenaCfg": 156,  # version 6 ends with 157
    "GetKeyValuePairs": 298,
    "ReleaseKeyValuePairs": 300,
    "AllocatorGetStats": 319,  # version 22 ends with 317
}
VOID = ("ReleaseEnv", "ReleaseStatus", "ReleaseSession", "ReleaseValue", "ReleaseTypeInfo")
VOID += ("ReleaseSessionOptions", "ReleaseAllocator", "ReleaseIoBinding", "ReleaseKeyValuePairs")
VOID += ("GetKeyValuePairs", "ReleaseTensorTypeAndShapeInfo")

LOG_ERROR, ENABLE_ALL, ARENA, DEFAULT_MEMORY, SAME_AS_REQUESTED = 3, 99, 1, 0, 1
TYPES = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16, 16: np.uint16}


class OrtError(Exception):
    pass


class Api:
    def __init__(self):
        import onnxruntime

        folder = pathlib.Path(onnxruntime.__file__).parent / "capi"
        library = next(folder.glob("libonnxruntime.so.*"))
        lib = ctypes.CDLL(str(library))
        lib.OrtGetApiBase.restype = ctypes.POINTER(ctypes.c_void_p)
        base = lib.OrtGetApiBase()
        self.version = ctypes.CFUNCTYPE(ctypes.c_char_p)(base[1])().decode()
        if self.version != onnxruntime.__version__:
            raise OrtError(f"{library} is {self.version}, the package {onnxruntime.__version__}")
        get = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_uint32)(base[0])
        self.table = get(API_VERSION)

    def call(self, name, *arguments):
        """Calls by name. Pointers are c_void_p, sizes c_size_t; ints are C ints."""
        result = None if name in VOID else ctypes.c_void_p
        if name == "GetErrorMessage":
            result = ctypes.c_char_p
        converted = [
            ctypes.c_char_p(a)
            if isinstance(a, bytes)
            else ctypes.c_int(a)
            if isinstance(a, int)
            else a
            for a in arguments
        ]
        kinds = [
            type(a) if isinstance(a, ctypes._SimpleCData) else ctypes.c_void_p for a in converted
        ]
        function = ctypes.CFUNCTYPE(result, *kinds)(self.table[FUNCTIONS[name]])
        status = function(*converted)
        if result is ctypes.c_void_p and status:
            message = self.call("GetErrorMessage", ctypes.c_void_p(status)).decode()
            self.call("ReleaseStatus", ctypes.c_void_p(status))
            raise OrtError(f"{name}: {message}")
        return status

    def make(self, name, *arguments, kind=ctypes.c_void_p):
        """Calls a function whose last parameter receives its result."""
        out = kind()
        self.call(name, *arguments, ctypes.byref(out))
        return out


class Session:
    """A CPU session on an arena of its own, `kSameAsRequested`, with memory patterns, one thread."""

    _api = None

    def __init__(self, path, max_dead_bytes=-1):
        Session._api = Session._api or Api()
        api = self.api = Session._api
        self.version = api.version
        self.env = api.make("CreateEnv", LOG_ERROR, b"llmc")
        self.memory = api.make("CreateCpuMemoryInfo", ARENA, DEFAULT_MEMORY)
        config = api.make(
            "CreateArenaCfg", ctypes.c_size_t(0), SAME_AS_REQUESTED, -1, max_dead_bytes
        )
        api.call("CreateAndRegisterAllocator", self.env, self.memory, config)
        options = api.make("CreateSessionOptions")
        api.call("EnableMemPattern", options)
        api.call("SetSessionGraphOptimizationLevel", options, ENABLE_ALL)
        api.call("SetIntraOpNumThreads", options, 1)
        api.call("AddSessionConfigEntry", options, b"session.use_env_allocators", b"1")
        self.session = api.make("CreateSession", self.env, str(path).encode(), options)
        api.call("ReleaseSessionOptions", options)
        self.allocator = api.make("CreateAllocator", self.session, self.memory)
        self.default = api.make("GetAllocatorWithDefaultOptions")
        self.inputs = dict(self._input(i) for i in range(self._count("SessionGetInputCount")))
        self.outputs = [
            self._name("SessionGetOutputName", i)
            for i in range(self._count("SessionGetOutputCount"))
        ]

    def close(self):
        self.api.call("ReleaseAllocator", self.allocator)
        self.api.call("ReleaseSession", self.session)
        self.api.call("ReleaseEnv", self.env)

    def _count(self, name):
        return self.api.make(name, self.session, kind=ctypes.c_size_t).value

    def _name(self, function, index):
        out = self.api.make(
            function, self.session, ctypes.c_size_t(index), self.default, kind=ctypes.c_char_p
        )
        return out.value.decode()

    def _input(self, index):
        """(name, (dtype, shape)); free dimensions are -1."""
        api = self.api
        info = api.make("SessionGetInputTypeInfo", self.session, ctypes.c_size_t(index))
        shape = self._shape(api.make("CastTypeInfoToTensorInfo", info))
        api.call("ReleaseTypeInfo", info)
        return self._name("SessionGetInputName", index), shape

    def _shape(self, tensor):
        """(dtype, dimensions, ONNX's number of the type) of an OrtTensorTypeAndShapeInfo"""
        api = self.api
        kind = api.make("GetTensorElementType", tensor, kind=ctypes.c_int).value
        rank = api.make("GetDimensionsCount", tensor, kind=ctypes.c_size_t).value
        dims = (ctypes.c_int64 * rank)()
        api.call("GetDimensions", tensor, dims, ctypes.c_size_t(rank))
        return TYPES[kind], list(dims), kind

    def stats(self):
        """The arena's own statistics: InUse, MaxInUse, TotalAllocated ... in bytes."""
        api = self.api
        pairs = api.make("AllocatorGetStats", self.allocator)
        keys, values = (ctypes.POINTER(ctypes.c_char_p)() for _ in range(2))
        count = ctypes.c_size_t()
        api.call(
            "GetKeyValuePairs", pairs, ctypes.byref(keys), ctypes.byref(values), ctypes.byref(count)
        )
        found = {keys[i].decode(): int(values[i]) for i in range(count.value)}
        api.call("ReleaseKeyValuePairs", pairs)
        return found

    def value(self, array, kind):
        shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        return self.api.make(
            "CreateTensorWithDataAsOrtValue",
            self.memory,
            array.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_size_t(array.nbytes),
            shape,
            ctypes.c_size_t(array.ndim),
            kind,
        )

    def run(self, feeds, kept):
        """One run. `kept`: outputs that go to memory of the caller; the others come from the arena
        and are released at the end. Returns all outputs' (dtype, shape, type number)."""
        api = self.api
        binding = api.make("CreateIoBinding", self.session)
        values = []
        for name, array in feeds.items():
            values.append(self.value(array, self.inputs[name][2]))
            api.call("BindInput", binding, name.encode(), values[-1])
        for name in self.outputs:
            if name in kept:
                array, kind = kept[name]
                values.append(self.value(array, kind))
                api.call("BindOutput", binding, name.encode(), values[-1])
            else:
                api.call("BindOutputToDevice", binding, name.encode(), self.memory)
        try:
            api.call("RunWithBinding", self.session, ctypes.c_void_p(), binding)
            return self._bound_shapes(binding)
        finally:
            api.call("ReleaseIoBinding", binding)
            for value in values:
                api.call("ReleaseValue", value)

    def _bound_shapes(self, binding):
        api = self.api
        found, count = ctypes.POINTER(ctypes.c_void_p)(), ctypes.c_size_t()
        api.call(
            "GetBoundOutputValues", binding, self.default, ctypes.byref(found), ctypes.byref(count)
        )
        shapes = {}
        for name, i in zip(self.outputs, range(count.value)):
            value = ctypes.c_void_p(found[i])
            info = api.make("GetTensorTypeAndShape", value)
            shapes[name] = self._shape(info)
            api.call("ReleaseTensorTypeAndShapeInfo", info)
            api.call("ReleaseValue", value)
        api.call("AllocatorFree", self.default, found)
        return shapes

    def peak_of_run(self, feeds, kept):
        """(bytes, outputs' shapes): what one run takes from the arena at most, beyond what it held
        before.

        MaxInUse never falls, and loading may have driven it up. So before the run the arena is
        filled up to MaxInUse with a block that nobody uses.
        """
        before = self.stats()
        ballast = None
        if before["MaxInUse"] > before["InUse"]:
            size = before["MaxInUse"] - before["InUse"]
            ballast = self.api.make("AllocatorAlloc", self.allocator, ctypes.c_size_t(size))
        start = self.stats()
        if start["InUse"] != start["MaxInUse"]:
            raise OrtError(f"the arena could not be filled: {start}")
        shapes = self.run(feeds, kept)
        end = self.stats()
        if end["InUse"] != start["InUse"]:
            raise OrtError(f"a run left memory behind: {start}, {end}")
        if ballast:
            self.api.call("AllocatorFree", self.allocator, ballast)
        return end["MaxInUse"] - start["InUse"], shapes
