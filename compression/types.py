"""Frozen dataclasses for everything that crosses a boundary between modules, disk and screen.

They hold plain Python values only (no tensors), so that `pydantic.TypeAdapter` can validate them,
write them as JSON and print their JSON Schema (`python -m compression schema NAME`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MAX_REMOVED_FRACTION = 0.95
"""Largest removed fraction the project accepts; above it hardly a rank or an atom is left."""

SAMPLE_RATE = 16_000
"""Samples a second of every recording in memory, whatever its file had."""
SPEECH_MODEL_TYPES = ("whisper",)
"""Architectures that write down speech."""


@dataclass(frozen=True)
class LinearSite:
    """One compressible linear layer ``y = x Wᵀ + b``.

    Attributes:
        name: dotted module path inside the model.
        block: index of the transformer block that holds it.
        projection: module path inside the block, e.g. ``self_attn.q_proj``.
        out_features: rows of the weight, n.
        in_features: columns of the weight, m.
        input_group: sites with the same value read the same activations and share one Gram matrix.
    """

    name: str
    block: int
    projection: str
    out_features: int
    in_features: int
    input_group: str

    @property
    def num_weights(self) -> int:
        """Number of weights, m·n."""
        return self.out_features * self.in_features

    @property
    def block_path(self) -> str:
        """Module path of its block, e.g. ``model.layers.3`` or ``model.encoder.layers.0``."""
        before, index, _ = self.name.partition(f".{self.block}.")
        return before + index.removesuffix(".")


@dataclass(frozen=True)
class Allocation:
    """The decision how much of each site is removed, apart from its execution.

    Attributes:
        policy: name of the allocation policy.
        target: requested removed fraction over all sites, in [0, 0.95].
        removed_fractions: site name → removed fraction; 0 means "stay dense".
    """

    policy: str
    target: float
    removed_fractions: dict[str, float]


@dataclass(frozen=True)
class TextSource:
    """A text by name and content. ``fingerprint`` is the SHA-256 of its UTF-8 bytes."""

    name: str
    fingerprint: str
    num_characters: int


@dataclass(frozen=True)
class SpeechSource:
    """Recordings by name and content.

    Attributes:
        name: what was asked for.
        fingerprint: SHA-256 over identifiers, transcripts and 16 kHz samples.
        num_clips: number of recordings.
        seconds: their duration together.
    """

    name: str
    fingerprint: str
    num_clips: int
    seconds: float


@dataclass(frozen=True)
class SpeechCalibration:
    """Which recordings the statistics of a speech model are collected on, with their transcripts (teacher forcing).

    Attributes:
        source: the recordings; what is used of them is spread evenly over them.
        num_sequences: clips for the input Gram matrices.
        gradient_sequences: clips for the output-gradient Gram matrices; the same ones as far as they reach.
        seed: 0 takes each clip from the middle of its stretch, any other seed from a random place in it.
        language: code of the language of the speech, such as ``en``.
        count_padding: whether the silence behind a clip, up to the model's 30 seconds, counts as input.
    """

    source: SpeechSource
    num_sequences: int = 32
    gradient_sequences: int = 32
    seed: int = 0
    language: str = "en"
    count_padding: bool = False

    @property
    def fingerprint(self) -> str:
        """Of what the statistics are made from."""
        return self.source.fingerprint


@dataclass(frozen=True)
class CalibrationSettings:
    """Which tokens the statistics are collected on.

    Attributes:
        text: the calibration text; it is tokenised once, whole, and its sequences are spread evenly over it.
        num_sequences: number of sequences for the input Gram matrices.
        sequence_length: tokens a sequence.
        gradient_sequences: number of other sequences for the output-gradient Gram matrices; at most 256 tokens of each.
        seed: 0 takes each sequence from the middle of its stretch of text, any other seed from a random place in it.
    """

    text: TextSource
    num_sequences: int = 32
    sequence_length: int = 512
    gradient_sequences: int = 32
    seed: int = 0

    @property
    def source(self) -> TextSource:
        """The calibration text, under the name that recordings have too."""
        return self.text

    @property
    def fingerprint(self) -> str:
        """Of what the statistics are made from."""
        return self.text.fingerprint


AnyCalibration = CalibrationSettings | SpeechCalibration
"""Of a language model or of a speech model."""


@dataclass(frozen=True)
class CompressionPlan:
    """Everything that determines a compressed model: replaying it gives the same bytes."""

    model_id: str
    weights_hash: str
    method: str
    settings: dict[str, Any]
    allocation: Allocation
    calibration: AnyCalibration | None


@dataclass(frozen=True)
class SettingInfo:
    """A setting of a method, as the interface renders it.

    Attributes:
        name: field name.
        title: name for people.
        default: value when nothing is said.
        minimum: smallest accepted value.
        maximum: largest accepted value.
        integer: whether only whole numbers make sense.
    """

    name: str
    title: str
    default: float
    minimum: float
    maximum: float
    integer: bool


@dataclass(frozen=True)
class MethodInfo:
    """A method, as it describes itself; `slow` ones take minutes on two cores.

    `fixed_fraction` is the share that it removes of every layer, whatever smaller one is asked for; None for a choice.
    A `joint` one decides over all layers at once, and has no forecast.
    """

    name: str
    title: str
    description: str
    source: str
    uses_calibration: bool
    own_policy: str
    warning: str | None
    settings: tuple[SettingInfo, ...]
    slow: bool = False
    fixed_fraction: float | None = None
    joint: bool = False


@dataclass(frozen=True)
class SiteReport:
    """What happened to one site.

    Attributes:
        name: the site's name.
        block: its block.
        projection: its projection.
        shape: (out, in).
        removed_fraction_target: what the allocation asked for.
        removed_fraction: 1 − stored bits ÷ original bits (16 a weight), from the saved tensors.
        stored_bits: bits of the saved tensors, bias left out.
        representation: ``dense``, or a name in `compression.layer_types.LAYER_TYPES`.
        quantities: native quantities, e.g. ``{"rank": 147}`` or
            ``{"num_atoms": 295, "nonzeros_per_column": 147}``.
        relative_output_error: ‖X(W−Ŵ)ᵀ‖ ÷ ‖XWᵀ‖ on the calibration inputs, with the 16-bit
            values that are stored; None where no calibration was made.
        seconds: time spent on this site, on one thread.
        convergence: relative squared error in the whitened space after each alternation.
        notes: fallbacks and clips, one sentence each.
    """

    name: str
    block: int
    projection: str
    shape: tuple[int, int]
    removed_fraction_target: float
    removed_fraction: float
    stored_bits: int
    representation: str
    quantities: dict[str, int]
    relative_output_error: float | None
    seconds: float
    convergence: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CompressionReport:
    """What a compression did, site by site and in total.

    Attributes:
        plan: the plan that was carried out.
        removed_fraction: over the compressible sites.
        whole_model_removed_fraction: over all parameters, embeddings and norms included.
        stored_bits: of the whole model, 16 bits for each value that stays dense.
        original_bits: of the whole dense model at 16 bits a value.
        site_stored_bits: of the compressible sites.
        calibration_seconds: time the calibration took when it was made (also when reused).
        calibration_reused: whether it came from the cache.
        compress_seconds: allocation, factorisation and error measurement, without calibration.
        stages: seconds by stage; ``factorisation`` adds up the sites, which run side by side.
        sites: one report a site.
        notes: fallbacks, one sentence each.
        model_note: a caution that belongs wherever its figures appear.
    """

    plan: CompressionPlan
    removed_fraction: float
    whole_model_removed_fraction: float
    stored_bits: int
    original_bits: int
    site_stored_bits: int
    calibration_seconds: float
    calibration_reused: bool
    compress_seconds: float
    stages: dict[str, float]
    sites: tuple[SiteReport, ...]
    notes: tuple[str, ...] = ()
    model_note: str = ""


@dataclass(frozen=True)
class PerplexityReport:
    """Perplexity with its convention.

    Attributes:
        perplexity: exp of the pooled negative log-likelihood a scored token.
        perplexity_stderr: standard error over windows (delta method); None with one window.
        negative_log_likelihood: mean over scored tokens, in nats.
        tokens: scored tokens.
        windows: number of windows.
        window: tokens a window.
        stride: tokens from one window's start to the next.
        convention: the convention in words.
        text: the text that was scored.
        stored_bits: bits of the model that was measured.
        seconds: time spent.
        window_losses: mean negative log-likelihood of each window, in nats.
        perplexity_low: lower end of the 95 % interval (Student t over windows, log scale); None with one window.
        perplexity_high: its upper end.
        model_id: the model.
        model_note: a caution that belongs wherever its figures appear.
        weights_hash: SHA-256 of its dense 16-bit weights.
        notes: fallbacks taken while it was loaded.
    """

    perplexity: float
    perplexity_stderr: float | None
    negative_log_likelihood: float
    tokens: int
    windows: int
    window: int
    stride: int
    convention: str
    text: TextSource
    stored_bits: int
    seconds: float
    window_losses: tuple[float, ...] = ()
    perplexity_low: float | None = None
    perplexity_high: float | None = None
    model_id: str = ""
    model_note: str = ""
    weights_hash: str = ""
    notes: tuple[str, ...] = ()

    @property
    def quality(self) -> float:
        """What a comparison goes by, smaller is better: the perplexity."""
        return self.perplexity

    @property
    def quality_stderr(self) -> float | None:
        """Its standard error."""
        return self.perplexity_stderr


@dataclass(frozen=True)
class UtteranceReport:
    """One recording, transcribed.

    Attributes:
        id: its identifier.
        reference: what was said, as given.
        hypothesis: what the model wrote.
        words: words of the normalised reference.
        substitutions: wrong words, after normalisation.
        deletions: missing words.
        insertions: words too many.
        seconds: duration of the recording.
    """

    id: str
    reference: str
    hypothesis: str
    words: int
    substitutions: int
    deletions: int
    insertions: int
    seconds: float


@dataclass(frozen=True)
class TranscriptionReport:
    """Word error rate of a model on some recordings, with its convention. Rates are shares: 0.074 is 7.4 %.

    Attributes:
        wer: (substitutions + deletions + insertions) ÷ words of the references, after the normaliser.
        wer_raw: the same without it.
        wer_low: lower end of the 95 % interval of `wer` (bootstrap over recordings); None with one recording.
        wer_high: its upper end.
        wer_stderr: its standard error, of the same bootstrap.
        cer: character error rate, after the normaliser.
        substitutions: wrong words, over all recordings.
        deletions: missing words.
        insertions: words too many.
        words: words of the normalised references.
        clips: number of recordings.
        audio_seconds: their duration together.
        seconds: time spent on features and decoding.
        real_time_factor: `seconds` ÷ `audio_seconds`.
        convention: decoding and normaliser in words.
        source: the recordings.
        stored_bits: bits of the model that was measured.
        utterances: one a recording, in their order.
        left_out: one sentence for each recording that was left out.
        model_id: the model.
        model_note: a caution that belongs wherever its figures appear.
        weights_hash: SHA-256 of its dense 16-bit weights.
        notes: fallbacks taken while it was loaded.
    """

    wer: float
    wer_raw: float
    wer_low: float | None
    wer_high: float | None
    wer_stderr: float | None
    cer: float
    substitutions: int
    deletions: int
    insertions: int
    words: int
    clips: int
    audio_seconds: float
    seconds: float
    real_time_factor: float
    convention: str
    source: SpeechSource
    stored_bits: int
    utterances: tuple[UtteranceReport, ...] = ()
    left_out: tuple[str, ...] = ()
    model_id: str = ""
    model_note: str = ""
    weights_hash: str = ""
    notes: tuple[str, ...] = ()

    @property
    def quality(self) -> float:
        """What a comparison goes by, smaller is better: the word error rate."""
        return self.wer

    @property
    def quality_stderr(self) -> float | None:
        """Its standard error."""
        return self.wer_stderr


@dataclass(frozen=True)
class Transcript:
    """What a model wrote down of a recording.

    Attributes:
        text: the words.
        audio_seconds: duration of the recording, as far as it has been transcribed.
        seconds: time spent.
        windows: pieces of at most 30 seconds that it was cut into, as far as they have been transcribed.
    """

    text: str
    audio_seconds: float
    seconds: float
    windows: int


@dataclass(frozen=True)
class Completion:
    """A prompt and the tokens a model continued it with.

    Attributes:
        prompt: what is continued.
        token_ids: the new tokens.
        pieces: what each token adds to the text. A character made of several tokens belongs to the one that completes
            it; the others are empty.
    """

    prompt: str
    token_ids: tuple[int, ...] = ()
    pieces: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The new text, without the prompt."""
        return "".join(self.pieces)


FASTER = 1.02
"""Speed ratio below which "faster" would be noise."""


@dataclass(frozen=True)
class LatencyFigure:
    """One timing: milliseconds, over `repeats` interleaved runs."""

    median_ms: float
    iqr_ms: float
    repeats: int

    def faster_than(self, other: LatencyFigure) -> bool:
        """Whether it is faster by more than noise: by `FASTER`, and half an interquartile range on each side apart."""
        apart = self.median_ms + self.iqr_ms / 2 < other.median_ms - other.iqr_ms / 2
        return apart and self.median_ms * FASTER < other.median_ms


@dataclass(frozen=True)
class Machine:
    """What a machine can do at best, measured with so many threads.

    Attributes:
        flops_per_second: of a float32 matrix product.
        bytes_per_second: of reading memory, by a product of a matrix with one vector.
        threads: number of threads torch used.
    """

    flops_per_second: float
    bytes_per_second: float
    threads: int


@dataclass(frozen=True)
class LatencyReport:
    """Prefill and decode latency of a model and, where there is one, of its dense original.

    The predictions are those of `compression.evaluation.roofline`: lower bounds from the linear layers alone.

    Attributes:
        threads: number of threads torch used.
        prompt_tokens: tokens in the prefill.
        decode_tokens: tokens decoded one by one; decode figures are milliseconds *a token*.
        prefill: model label (``dense``, ``compressed``) → timing of one prefill.
        decode: model label → timing a decoded token.
        execution: how the compressed layers compute, in words; also whether memory is saved.
        device: the device's name.
        model_id: the model.
        model_note: a caution that belongs wherever its figures appear.
        weights_hash: SHA-256 of its dense 16-bit weights.
        notes: fallbacks taken while it was loaded.
        machine: what the predictions rest on; None where there are none.
        predicted_prefill: model label → predicted milliseconds of one prefill.
        predicted_decode: model label → predicted milliseconds a decoded token.
        stored_bits: model label → bits of the whole model, where they are known.
    """

    threads: int
    prompt_tokens: int
    decode_tokens: int
    prefill: dict[str, LatencyFigure]
    decode: dict[str, LatencyFigure]
    execution: str
    device: str
    model_id: str = ""
    model_note: str = ""
    weights_hash: str = ""
    notes: tuple[str, ...] = ()
    machine: Machine | None = None
    predicted_prefill: dict[str, float] = field(default_factory=dict)
    predicted_decode: dict[str, float] = field(default_factory=dict)
    stored_bits: dict[str, int] = field(default_factory=dict)

    @property
    def smaller(self) -> bool:
        """Whether the compressed model takes less storage than the dense one; taken for granted where unknown."""
        return not self.stored_bits or self.stored_bits["compressed"] < self.stored_bits["dense"]

    @property
    def faster_prefill(self) -> bool:
        """Whether the compressed model's prefill is faster than the dense one's, by more than noise."""
        return self.prefill["compressed"].faster_than(self.prefill["dense"])

    @property
    def faster_decode(self) -> bool:
        """Whether the compressed model decodes faster than the dense one, by more than noise."""
        return self.decode["compressed"].faster_than(self.decode["dense"])

    @property
    def prefill_over_predicted(self) -> dict[str, float]:
        """Model label → measured ÷ predicted time of a prefill."""
        return {label: self.prefill[label].median_ms / value for label, value in self.predicted_prefill.items()}

    @property
    def decode_over_predicted(self) -> dict[str, float]:
        """Model label → measured ÷ predicted time of a decoded token."""
        return {label: self.decode[label].median_ms / value for label, value in self.predicted_decode.items()}


@dataclass(frozen=True)
class SpeechLatencyReport:
    """Latency of a speech model and, where there is one, of its dense original.

    Attributes:
        threads: number of threads torch used.
        decode_tokens: tokens decoded one by one; decode figures are milliseconds *a token*.
        audio_seconds: duration of the recording that was transcribed.
        encoder: model label (``dense``, ``compressed``) → timing of the encoder on one window of 30 seconds.
        decode: model label → timing a decoded token, with the cache.
        real_time_factor: model label → median seconds of transcribing the recording, features included, ÷ its
            duration. Each model writes what it hears: one that writes more takes longer.
        execution: how the compressed layers compute, in words; also whether memory is saved.
        device: the device's name.
        model_id: the model.
        model_note: a caution that belongs wherever its figures appear.
        weights_hash: SHA-256 of its dense 16-bit weights.
        notes: fallbacks taken while it was loaded.
        stored_bits: model label → bits of the whole model, where they are known.
    """

    threads: int
    decode_tokens: int
    audio_seconds: float
    encoder: dict[str, LatencyFigure]
    decode: dict[str, LatencyFigure]
    real_time_factor: dict[str, float]
    execution: str
    device: str
    model_id: str = ""
    model_note: str = ""
    weights_hash: str = ""
    notes: tuple[str, ...] = ()
    stored_bits: dict[str, int] = field(default_factory=dict)

    @property
    def smaller(self) -> bool:
        """Whether the compressed model takes less storage than the dense one; taken for granted where unknown."""
        return not self.stored_bits or self.stored_bits["compressed"] < self.stored_bits["dense"]

    @property
    def faster_encoder(self) -> bool:
        """Whether the compressed model's encoder is faster than the dense one's, by more than noise."""
        return self.encoder["compressed"].faster_than(self.encoder["dense"])

    @property
    def faster_decode(self) -> bool:
        """Whether the compressed model decodes faster than the dense one, by more than noise."""
        return self.decode["compressed"].faster_than(self.decode["dense"])


@dataclass(frozen=True)
class Environment:
    """Where a figure was made."""

    python: str
    torch: str
    transformers: str
    platform: str
    processor: str
    threads: int
    device: str
    version: str
    commit: str
    date: str


@dataclass(frozen=True)
class Probe:
    """A compressed model measured on calibration text that no statistic has seen.

    Attributes:
        removed_fraction: over the compressible sites, as asked for.
        predicted_loss: what the error curves say of its allocation, in nats a token.
        window_changes: for each window, mean loss minus that of the dense model, in nats.
        seconds: time spent on compressing and measuring.
    """

    removed_fraction: float
    predicted_loss: float
    window_changes: tuple[float, ...]
    seconds: float

    @property
    def change(self) -> float:
        """Mean change of the loss over the windows: of log-perplexity, as all have the same length."""
        return sum(self.window_changes) / len(self.window_changes)


@dataclass(frozen=True, kw_only=True)
class MeasuredRun:
    """One (method, policy, removed fraction, seed) of a comparison: what was made and what that took.

    `seed` is the calibration's: runs that differ in nothing else tell how much its choice of text or speech matters.
    """

    method: str
    policy: str
    removed_fraction_target: float
    removed_fraction: float
    whole_model_removed_fraction: float
    stored_bits: int
    site_stored_bits: int
    compress_seconds: float
    calibration_seconds: float
    calibration_reused: bool
    evaluate_seconds: float
    settings: dict[str, Any]
    sites: tuple[SiteReport, ...]
    warning: str | None = None
    notes: tuple[str, ...] = ()
    stages: dict[str, float] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class ComparisonRun(MeasuredRun):
    """A run of a language model, measured by perplexity, and its forecast where one was made.

    The forecast is that of the dense perplexity on the same text times the change foretold from probes; `predicted_low`
    and `predicted_high` are its 95 % band, and `forecast_problem` says why there is none.

    The divergences are from the dense model, at the positions that perplexity scores: `mean_kl` and `p99_kl` are the
    mean and the 99th percentile over positions of KL(dense ‖ compressed), in nats; `top1_agreement` is the share of
    positions, in [0, 1], at which both have the same most probable token. They are None in results made without them.

    `window_losses` are the mean negative log-likelihoods of the windows, in nats: two runs on the same windows are
    compared window by window. Empty in results made without them.
    """

    perplexity: float
    perplexity_stderr: float | None
    tokens: int
    predicted_perplexity: float | None = None
    predicted_low: float | None = None
    predicted_high: float | None = None
    forecast_problem: str = ""
    mean_kl: float | None = None
    p99_kl: float | None = None
    top1_agreement: float | None = None
    window_losses: tuple[float, ...] = ()

    @property
    def quality(self) -> float:
        """What a comparison goes by, smaller is better: the perplexity."""
        return self.perplexity

    @property
    def quality_stderr(self) -> float | None:
        """Its standard error."""
        return self.perplexity_stderr


@dataclass(frozen=True, kw_only=True)
class SpeechRun(MeasuredRun):
    """A run of a speech model, measured by word error rate; the attributes are those of `TranscriptionReport`."""

    wer: float
    wer_raw: float
    wer_low: float | None
    wer_high: float | None
    wer_stderr: float | None
    cer: float
    substitutions: int
    deletions: int
    insertions: int
    words: int
    real_time_factor: float
    utterances: tuple[UtteranceReport, ...] = ()

    @property
    def quality(self) -> float:
        """What a comparison goes by, smaller is better: the word error rate."""
        return self.wer

    @property
    def quality_stderr(self) -> float | None:
        """Its standard error."""
        return self.wer_stderr


@dataclass(frozen=True)
class Comparison:
    """The outcome of ``compare``: dense and every run, one convention, one calibration text.

    `calibration` is that of the first run; runs may differ from it in the seed.
    """

    model_id: str
    model_note: str
    weights_hash: str
    calibration: CalibrationSettings
    dense: PerplexityReport
    runs: tuple[ComparisonRun, ...]
    environment: Environment


@dataclass(frozen=True)
class SpeechComparison:
    """The outcome of ``compare`` for a speech model: dense and every run on the same recordings.

    `calibration` is that of the first run; runs may differ from it in the seed.
    """

    model_id: str
    model_note: str
    weights_hash: str
    calibration: SpeechCalibration
    dense: TranscriptionReport
    runs: tuple[SpeechRun, ...]
    environment: Environment


@dataclass(frozen=True)
class ExportCheck:
    """What a fresh process made of an exported directory.

    Attributes:
        equal: whether its logits are those expected, to the bit.
        largest_difference: between its logits and those expected.
        compared: number of logits that were compared one by one.
        accounted_bytes: what the accounting says that the weights take.
        weights_bytes: of the weights' file on disk.
        folder_bytes: of everything that is given away: weights, configuration, tokenizer, reports.
        load_seconds: from the beginning of loading to a model that is ready to run.
        threads: number of threads torch used.
        same_machine: whether the logits expected were made with the same torch, processor and number of threads.
    """

    equal: bool
    largest_difference: float
    compared: int
    accounted_bytes: int
    weights_bytes: int
    folder_bytes: int
    load_seconds: float
    threads: int
    same_machine: bool = True

    @property
    def weights_excess(self) -> float:
        """How far the weights on disk are from the accounting, as a share of it; positive where they are larger."""
        return self.weights_bytes / self.accounted_bytes - 1


@dataclass(frozen=True)
class Exported:
    """A model written to the cache and checked.

    Attributes:
        directory: where it lies; its name is what the model is called.
        archive: the same as one file to download.
        check: what a fresh process made of it.
        command: the command that makes the same weights again.
        snippet: Python that loads it.
        card: its model card, without the front matter.
        model_note: a caution that belongs wherever its figures appear.
    """

    directory: str
    archive: str
    check: ExportCheck
    command: str
    snippet: str
    card: str
    model_note: str


@dataclass(frozen=True)
class Progress:
    """A step of long work: `done` of `total` units of `stage`; `partial` carries a partial result.

    `seconds_left` is how long the rest of the stage will take; who shows the steps may fill it in from their pace.
    """

    stage: str
    done: int
    total: int
    message: str
    partial: Any = field(default=None, compare=False)
    seconds_left: float | None = field(default=None, compare=False)
