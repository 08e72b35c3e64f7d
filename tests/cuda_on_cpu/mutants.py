"""Faults of the kernels, one by one: what the cases must not miss."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """What stands between « and » in the source becomes something else."""

    file: str
    place: str
    becomes: str
    harmless: str = ""  # why nothing can be seen of it


ALIKE = "after a shuffle all lanes have the sum"
MUTANTS = [
    # Barriers.
    Mutant("cost_cuda.cu", "            «__syncthreads();»\n            if (begin +", ""),
    Mutant("cost_cuda.cu", "product.add(slice);\n            «__syncthreads();»", ""),
    Mutant("cost_cuda.cu", "            }\n            «__syncthreads();»\n        }\n    }\n", ""),
    Mutant("cost_cuda.cu", "    «__syncthreads();»\n\n    for (int pair", ""),
    Mutant("associate_cuda.cu", "    «__syncthreads();»\n    float sum", ""),
    # Chunks of features.
    Mutant("chunk.cuh", "if («!row || first >= dim») return chunk;", "!row"),
    Mutant("chunk.cuh", "if («!row || first >= dim») return chunk;", "first >= dim"),
    Mutant("chunk.cuh", "if («whole») return", "true"),
    Mutant("chunk.cuh", "if («whole») return", "false", "the same numbers, one by one"),
    Mutant("chunk.cuh", "if («first + i < dim») chunk", "true"),
    Mutant("chunk.cuh", "return «dim % Chunk<T>::kSize == 0» &&", "true"),
    Mutant("chunk.cuh", "«reinterpret_cast<uintptr_t>(features) % 16 == 0»;", "true"),
    # Products by threads.
    Mutant("cost_cuda.cu", "for (int k = «begin»; k < begin + share; ++k)", "0"),
    Mutant("cost_cuda.cu", "k < «begin + share»; ++k)", "begin + share - 1"),
    Mutant("cost_cuda.cu", "place(«kTile + col», k)", "col"),
    Mutant("cost_cuda.cu", "dots + «thread / kGroup * kTile * kTile» + row", "0"),
    Mutant("cost_cuda.cu", "+ «row * kTile + col»;", "row * kTile"),
    Mutant(
        "cost_cuda.cu", "((row / 4) ^ («k / 4 % kEdge»))", "0", "where a number lies, not which"
    ),
    # Products by tensor cores.
    Mutant("cost_cuda.cu", "«nvcuda::wmma::fill_fragment(sums_[i][j], 0.0F);»", ""),
    Mutant("cost_cuda.cu", "for (int k = «begin»; k < begin + share; k += kSquare)", "0"),
    Mutant("cost_cuda.cu", "cols = slice + («kRows + col()») * kStride", "col()"),
    Mutant("cost_cuda.cu", "rows + «i * kSquare * kStride» + k", "0"),
    Mutant("cost_cuda.cu", "cols + «j * kSquare * kStride» + k", "0"),
    Mutant("cost_cuda.cu", "dots + «part() * kRows * kCols» + row()", "0"),
    Mutant("cost_cuda.cu", "first + «i * kSquare * kCols» + j", "0"),
    Mutant("cost_cuda.cu", "return «warp() / kGroup»;", "0"),
    Mutant("cost_cuda.cu", "return «warp() % kGroup» / kWarpsAcross", "warp()"),
    Mutant("cost_cuda.cu", "return «warp() % kWarpsAcross» * kSquare", "0"),
    # Tiles of pairs.
    Mutant("cost_cuda.cu", "return («length + tile - 1») / tile;", "length"),
    Mutant("cost_cuda.cu", "return «first_row + i < q.tracks» ?", "true"),
    Mutant("cost_cuda.cu", "return «first_col + i < q.detections» ?", "true"),
    Mutant("cost_cuda.cu", "? «problem * q.tracks» + first_row + i", "0"),
    Mutant("cost_cuda.cu", "? «problem * q.detections» + first_col + i", "0"),
    Mutant("cost_cuda.cu", "return «q.track_rows ? q.track_rows[track] : track»;", "track"),
    Mutant(
        "cost_cuda.cu",
        "return «q.detection_rows ? q.detection_rows[detection] : detection»;",
        "detection",
    ),
    Mutant("cost_cuda.cu", "if («box >= 0 && at < kRows»)", "at < kRows"),
    Mutant("cost_cuda.cu", "if («box >= 0 && at >= kRows»)", "at >= kRows"),
    Mutant("cost_cuda.cu", "measure = «!q.track_norms || !q.detection_norms»;", "false"),
    Mutant("cost_cuda.cu", "if («begin + Product::kSlice < q.dim») load", "false"),
    Mutant(
        *("cost_cuda.cu", "if («begin + Product::kSlice < q.dim») load", "true"),
        "a chunk behind the last number is zeros, and is not used",
    ),
    Mutant("cost_cuda.cu", "lane = «kLanes / 2»; lane > 0", "kLanes / 4"),
    Mutant("cost_cuda.cu", "; «lane > 0»; lane /= 2", "lane > 1"),
    Mutant("cost_cuda.cu", "__shfl_xor_sync(«0xffffffffU», sums[i]", "0xffffU"),
    Mutant("cost_cuda.cu", "0xffffffffU, sums[i], «lane»)", "1"),
    Mutant("cost_cuda.cu", "if («chunk % kLanes == 0»)", "chunk == 0"),
    Mutant("cost_cuda.cu", "if («chunk % kLanes == 0»)", "true", ALIKE),
    Mutant("cost_cuda.cu", "if («thread < kBoth») {", "true"),
    Mutant("cost_cuda.cu", "if («thread < kBoth») {", "thread < kBoth - 1"),
    Mutant("cost_cuda.cu", "if («box >= 0») {", "true"),
    Mutant("cost_cuda.cu", "if («q.appearance && known») {", "false"),
    Mutant("cost_cuda.cu", "known[is_track ? «track_row(box)» : detection_row(box)]", "box"),
    Mutant("cost_cuda.cu", "known[is_track ? track_row(box) : «detection_row(box)»]", "box"),
    Mutant("cost_cuda.cu", "i < «kChunks / kLanes»; ++i) sum", "1"),
    # Costs of pairs.
    Mutant("cost_cuda.cu", "pair = thread; «pair < kPairs»;", "pair < kPairs - 1"),
    Mutant("cost_cuda.cu", "pair = thread; «pair < kPairs»;", "pair < kPairs + kThreads"),
    Mutant("cost_cuda.cu", "if («track < 0 || detection < 0») continue;", "track < 0"),
    Mutant("cost_cuda.cu", "if («track < 0 || detection < 0») continue;", "detection < 0"),
    Mutant(
        "cost_cuda.cu",
        "if («!q.track_classes || q.track_classes[track] == q.detection_classes[detection]»)",
        "true",
    ),
    Mutant("cost_cuda.cu", "i < «Product::kParts»; ++i) dot", "1"),
    Mutant("cost_cuda.cu", "dots[«i * kPairs + pair»];", "pair"),
    Mutant("cost_cuda.cu", "norms[row], norms[«kRows + col»]", "col"),
    Mutant("cost_cuda.cu", "boxes[row], boxes[«kRows + col»]", "col"),
    Mutant("cost_cuda.cu", "q.cost[track * q.detections + «first_col» + col]", "0"),
    # Launches of costs.
    Mutant(
        "cost_cuda.cu",
        "if («4 * blocks < 3 * multiprocessors»)",
        "4 * blocks <= 3 * multiprocessors",
    ),
    Mutant("cost_cuda.cu", "if («major >= 8»)", "true"),
    Mutant("cost_cuda.cu", "        «q.batch» * tiles(q.tracks", "1"),
    # Cosines of candidates.
    Mutant("associate_cuda.cu", "other = «kWarp / 2»; other > 0", "kWarp / 4"),
    Mutant("associate_cuda.cu", "; «other > 0»; other /= 2", "other > 1"),
    Mutant("associate_cuda.cu", "__shfl_xor_sync(«0xffffffffU», x", "0xffffU"),
    Mutant("associate_cuda.cu", "0xffffffffU, x, «other»)", "1"),
    Mutant("associate_cuda.cu", "for (; «at < count»; at += warps)", "at < count + 1"),
    Mutant("associate_cuda.cu", "for (; «at < count»; at += warps)", "at < count - 1"),
    Mutant("associate_cuda.cu", "sides[«pair.sides»]", "0"),
    Mutant("associate_cuda.cu", "of.table + «pair.row» * of.dim", "0"),
    Mutant("associate_cuda.cu", "k = «lane * Chunk<float>::kSize»; k", "0"),
    Mutant("associate_cuda.cu", "k < «of.dim»; k += kWarp", "of.dim - 1"),
    Mutant("associate_cuda.cu", "if («lane == 0») cosines", "true", ALIKE),
    Mutant(
        "associate_cuda.cu",
        "«whole_chunks<float>(x.data, x.dim) && whole_chunks<float>(y.data, x.dim)»",
        "true",
    ),
    Mutant(
        *("associate_cuda.cu", "min<int64_t>(blocks, «1 << 20»)", "1"),
        "a small grid walks over all pairs",
    ),
    Mutant(
        "associate_cuda.cu",
        '«check_cuda(cudaStreamSynchronize(stream()), "comparison of features");»',
        "",
    ),
    # Updates.
    Mutant("associate_cuda.cu", "if («!known && old_norm > 0.0F») return;", "false"),
    Mutant("associate_cuda.cu", "keep = «old_norm > 0.0F» ?", "true"),
    Mutant("associate_cuda.cu", "add = «known» ?", "true"),
    Mutant("associate_cuda.cu", "«k < dim»; k += kThreads) {", "k <= dim"),
    Mutant("associate_cuda.cu", "«k < dim»; k += kThreads) {", "k < dim - 1"),
    Mutant("associate_cuda.cu", "«k < dim»; k += kThreads) old", "k <= dim"),
    Mutant("associate_cuda.cu", "«k < dim»; k += kThreads) old", "k < dim - 1"),
    Mutant("associate_cuda.cu", "if («thread % kWarp == 0») squares", "thread == 0"),
    Mutant("associate_cuda.cu", "if («thread % kWarp == 0») squares", "true", ALIKE),
    Mutant("associate_cuda.cu", "unit = «length > kSmallestMix»;", "length > 0.0F"),
    Mutant("associate_cuda.cu", "if («thread == 0») table_norms", "false"),
    Mutant(
        "associate_cuda.cu", "if («thread == 0») table_norms", "true", "all threads write the same"
    ),
    # Rows of both sides of a comparison.
    Mutant(
        "associate_cuda.cu",
        "static_cast<int32_t>(«y.row(*column++)»)",
        "*column++",
    ),
    Mutant(
        "associate_cuda.cu",
        "q.detection_rows = «buffers.put(c.detection_features.rows, n)»;",
        "nullptr",
    ),
    # Features of tracks.
    Mutant(
        *("device_features.cu", "«clear_on_device(table.work, table.scratch, n * table.dim);»", ""),
    ),
    Mutant("device_features.cu", "«clear_on_device(table.work, table.scratch_norms, n);»", ""),
    Mutant(
        "device_features.cu",
        "if («slot < 0 || !(table.norms_here[slot] > 0.0F)») continue;",
        "slot < 0",
    ),
    Mutant("device_features.cu", "table.scratch + «k * table.dim», table.values", "0"),
    Mutant("device_features.cu", "table.values + «slot * table.dim»,", "0"),
    Mutant("device_features.cu", "table.scratch_norms + «k»,", "0"),
    Mutant("device_features.cu", "table.norms + «slot», 1);\n    }", "table.slots - 1"),
    Mutant("device_features.cu", "if («updates.columns[k] < 0») continue;", "false"),
    Mutant(
        "device_features.cu",
        "rows.push_back(«static_cast<int64_t>(k)»);",
        "static_cast<int64_t>(rows.size())",
    ),
    Mutant("device_features.cu", "«if (!rows.empty()) wait_cuda(table.work);»", ""),
    Mutant("device_features.cu", "«clear_on_device(table.work, table.norms + slot, 1);»", ""),
    Mutant("device_features.cu", "work.device + «numbers»),", "0"),
    Mutant("device_features.cu", "work.device + «2 * numbers»)", "numbers"),
    Mutant(
        "device_features.cu",
        "static_cast<size_t>(«table.slots») * sizeof(float)",
        "1",
    ),
    # Crops.
    Mutant("crop_cuda.cu", "; «i < pixels»;", "i <= pixels"),
    Mutant("crop_cuda.cu", "; «i < pixels»;", "i < pixels - 1"),
    Mutant("crop_cuda.cu", "boxes + «4 * (i / plane)»;", "0"),
    Mutant("crop_cuda.cu", "«k < rows.count»; ++k) row_sum", "k < rows.count - 1"),
    Mutant("crop_cuda.cu", "«j < columns.count»; ++j", "j <= columns.count"),
    Mutant("crop_cuda.cu", "«j < columns.count»; ++j", "j < columns.count - 1"),
    Mutant("crop_cuda.cu", "«k < rows.count»; ++k, pixel", "k <= rows.count"),
    Mutant("crop_cuda.cu", "«k < rows.count»; ++k, pixel", "k < rows.count - 1"),
    Mutant("crop_cuda.cu", "3 * («columns.first + j»)", "j"),
    Mutant("crop_cuda.cu", "out + «i / plane * 3 * plane» + i", "0"),
    Mutant("crop_cuda.cu", "first[«c * plane»]", "c"),
    Mutant("crop_cuda.cu", "sums[«format.bgr_to_rgb ? 2 - c : c»]", "c"),
    Mutant(
        *("crop_cuda.cu", "<<<static_cast<unsigned>(«blocks < most ? blocks : most»)", "1"),
        "a small grid walks over all pixels",
    ),
]


def with_mutants(file, source):
    """The source with its mutants in it. A variable turns one on: number k is MUTANTS[k - 1].

    Raises:
        ValueError: A place is not in the source, or is there more than once.
    """
    edits = {}
    for number, mutant in enumerate(MUTANTS, 1):
        if mutant.file != file:
            continue
        before, rest = mutant.place.split("«")
        original, after = rest.split("»")
        found = source.count(before + original + after)
        if found != 1:
            raise ValueError(f"{file}: expected once, found {found} times: {mutant.place}")
        begin = source.index(before + original + after) + len(before)
        edits.setdefault((begin, begin + len(original)), []).append((number, mutant.becomes))
    for (begin, end), changes in sorted(edits.items(), reverse=True):
        text = source[begin:end]
        for number, becomes in changes:
            this = f"::cuda_on_cpu::mutant == {number}"
            text = f"({this} ? ({becomes}) : ({text}))" if becomes else f"if (!({this})) {text}"
        source = source[:begin] + text + source[end:]
    return source
