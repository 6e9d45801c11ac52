//! The engine's unsafe calls: what FFmpeg's libraries can do and `ffmpeg_next` doesn't offer,
//! or offers without its options.
//!
//! Every function keeps one rule: pointers that come in are owned by a value that outlives the
//! call, pointers that go out are owned by a value that frees them.
#![allow(unsafe_code)] // One of the two modules that may; each block says why it holds.

use ffmpeg_next::codec::packet::{Packet, Ref};
use ffmpeg_next::codec::{self, Parameters};
use ffmpeg_next::ffi as sys;
use ffmpeg_next::format::chapter::Chapter;
use ffmpeg_next::format::context::{Input, Output, StreamIo};
use ffmpeg_next::format::stream::Stream;
use ffmpeg_next::{Codec, Rational, decoder, encoder, filter, frame};
use std::ffi::{CStr, CString, c_char, c_int, c_uint};
use std::ptr;

/// Why FFmpeg didn't do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FfiError {
    /// FFmpeg's own code.
    #[error("FFmpeg: {0:?}")]
    Ffmpeg(ffmpeg_next::Error),
    /// An option wasn't taken; a limit that nobody enforces is worse than none.
    #[error("an option was not taken by FFmpeg")]
    OptionIgnored,
    /// The libraries were built without this demuxer, muxer or codec.
    #[error("FFmpeg was built without a needed part")]
    Missing,
}

impl From<ffmpeg_next::Error> for FfiError {
    fn from(error: ffmpeg_next::Error) -> Self {
        Self::Ffmpeg(error)
    }
}

/// Turns a return code into a result; negative codes are errors.
fn check(code: c_int) -> Result<c_int, FfiError> {
    if code < 0 { Err(FfiError::Ffmpeg(code.into())) } else { Ok(code) }
}

fn out_of_memory() -> FfiError {
    FfiError::Ffmpeg(ffmpeg_next::Error::Other { errno: libc::ENOMEM })
}

/// A name or value without a NUL byte; all come from this program's own text.
fn c_text(text: &str) -> Result<CString, FfiError> {
    CString::new(text).map_err(|_| FfiError::OptionIgnored)
}

/// A dictionary of options that can be asked what is left of it.
struct Options(*mut sys::AVDictionary);

impl Options {
    fn new<K: AsRef<str>, V: AsRef<str>>(pairs: &[(K, V)]) -> Result<Self, FfiError> {
        let mut options = Self(ptr::null_mut());
        for (key, value) in pairs {
            let (key, value) = (c_text(key.as_ref())?, c_text(value.as_ref())?);
            // SAFETY: the dictionary pointer is owned by `options`; both texts are copied.
            check(unsafe { sys::av_dict_set(&mut options.0, key.as_ptr(), value.as_ptr(), 0) })?;
        }
        Ok(options)
    }

    fn len(&self) -> c_int {
        // SAFETY: null or a dictionary that this value owns; both are allowed.
        unsafe { sys::av_dict_count(self.0) }
    }

    fn has(&self, key: &str) -> bool {
        let Ok(key) = c_text(key) else { return false };
        // SAFETY: null or an owned dictionary; the key lives for the call, the answer isn't kept.
        !unsafe { sys::av_dict_get(self.0, key.as_ptr(), ptr::null(), 0) }.is_null()
    }

    fn all_taken(&self) -> Result<(), FfiError> {
        if self.len() == 0 { Ok(()) } else { Err(FfiError::OptionIgnored) }
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: owned, and freed once; null is allowed.
        unsafe { sys::av_dict_free(&mut self.0) }
    }
}

/// Keeps the libraries quiet and their memory in few arenas. Called once, before other threads.
pub fn settle_libraries() {
    // SAFETY: both only set a number inside the library. FFmpeg's messages quote bytes of the
    // file, so none are wanted. Each arena of glibc reserves 64 MiB of address space, which the
    // limit on address space counts; two are enough for encoders that allocate rarely.
    unsafe {
        sys::av_log_set_level(sys::AV_LOG_QUIET);
        #[cfg(target_env = "gnu")]
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

/// Returns the versions of libavformat, libavcodec, libavfilter and libswscale as they run.
pub fn library_versions() -> [u32; 4] {
    // SAFETY: functions without arguments that return a constant.
    unsafe {
        [
            sys::avformat_version(),
            sys::avcodec_version(),
            sys::avfilter_version(),
            sys::swscale_version(),
        ]
    }
}

/// Refuses to open anything else than what the caller has opened.
unsafe extern "C" fn refuse_open(
    _: *mut sys::AVFormatContext,
    _: *mut *mut sys::AVIOContext,
    _: *const c_char,
    _: c_int,
    _: *mut *mut sys::AVDictionary,
) -> c_int {
    sys::AVERROR(libc::EPERM)
}

/// Opens a container over `io` with exactly the named demuxer; nested files are refused.
///
/// # Errors
/// `Missing` without that demuxer; `OptionIgnored` if an option has no effect; FFmpeg's code if
/// the bytes aren't that container.
pub fn open_input(
    mut io: StreamIo,
    demuxer: &str,
    options: &[(&str, String)],
) -> Result<Input, FfiError> {
    let name = c_text(demuxer)?;
    let mut options = Options::new(options)?;
    // SAFETY: `io` outlives the context: it's moved into the `Input`, which closes the context
    // first. On failure avformat_open_input frees the context itself and leaves `io` to us.
    let input = unsafe {
        let format = sys::av_find_input_format(name.as_ptr());
        if format.is_null() {
            return Err(FfiError::Missing);
        }
        let mut context = sys::avformat_alloc_context();
        if context.is_null() {
            return Err(out_of_memory());
        }
        (*context).pb = io.as_mut_ptr();
        (*context).flags |= sys::AVFMT_FLAG_CUSTOM_IO;
        (*context).io_open = Some(refuse_open);
        check(sys::avformat_open_input(&mut context, ptr::null(), format, &mut options.0))?;
        Input::wrap_with_custom_io(context, io)
    };
    options.all_taken()?;
    Ok(input)
}

/// Reads ahead until the streams are known. Decoders that this opens get `options`.
///
/// # Errors
/// `OptionIgnored` if a decoder that was opened didn't know an option.
pub fn find_stream_info(input: &mut Input, options: &[(&str, String)]) -> Result<(), FfiError> {
    let count = input.nb_streams() as usize;
    let mut dictionaries = Vec::with_capacity(count);
    for _ in 0..count {
        dictionaries.push(Options::new(options)?);
    }
    let mut raw: Vec<_> = dictionaries.iter().map(|options| options.0).collect();
    // SAFETY: `raw` has one dictionary for each stream, as the function demands; it may replace
    // each pointer, so ownership goes back into `dictionaries` right afterwards.
    let code = unsafe { sys::avformat_find_stream_info(input.as_mut_ptr(), raw.as_mut_ptr()) };
    for (options, raw) in dictionaries.iter_mut().zip(raw) {
        options.0 = raw;
    }
    check(code)?;
    // A stream whose decoder wasn't needed keeps all of ours (FFmpeg adds some of its own); one
    // whose decoder took only a part of them has a mistake in it.
    for left in &dictionaries {
        let kept = options.iter().filter(|(key, _)| left.has(key)).count();
        if kept != 0 && kept != options.len() {
            return Err(FfiError::OptionIgnored);
        }
    }
    Ok(())
}

/// Makes the demuxer skip all streams but `keep`.
pub fn keep_streams(input: &mut Input, keep: &[usize]) {
    for index in 0..input.nb_streams() as usize {
        let discard = if keep.contains(&index) {
            sys::AVDiscard::AVDISCARD_DEFAULT
        } else {
            sys::AVDiscard::AVDISCARD_ALL
        };
        // SAFETY: `streams` holds `nb_streams` pointers, and `index` is below it.
        unsafe { (**(*input.as_mut_ptr()).streams.add(index)).discard = discard };
    }
}

/// Goes to the key frame of a stream that is shown at or before `at`, in its ticks.
///
/// # Errors
/// FFmpeg's code if there is none.
pub fn seek_stream(input: &mut Input, stream: usize, at: i64) -> Result<(), FfiError> {
    let stream = c_int::try_from(stream).map_err(|_| FfiError::Missing)?;
    // SAFETY: the context is owned by `input`; FFmpeg checks the stream's number.
    let context = unsafe { input.as_mut_ptr() };
    // SAFETY: as above.
    check(unsafe { sys::av_seek_frame(context, stream, at, sys::AVSEEK_FLAG_BACKWARD) })?;
    Ok(())
}

/// What a stream's parameters say; numbers are FFmpeg's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamFacts {
    /// Stored width in pixels.
    pub width: u32,
    /// Stored height in pixels.
    pub height: u32,
    /// Pixel or sample format.
    pub format: i32,
    /// Codec profile.
    pub profile: i32,
    /// Codec level.
    pub level: i32,
    /// Order of the fields; 0 unknown, 1 progressive.
    pub field_order: u32,
    /// Shape of a pixel, numerator and denominator; 0/1 unknown.
    pub pixel_aspect: (i32, i32),
    /// Transfer characteristic of the colours.
    pub transfer: u32,
    /// Bits a second, 0 unknown.
    pub bit_rate: i64,
    /// Samples a second.
    pub sample_rate: u32,
    /// Channels of sound.
    pub channels: u32,
    /// The codec's set-up bytes.
    pub extradata: Vec<u8>,
    /// The 3×3 matrix that turns the stored picture, if there is one.
    pub display_matrix: Option<[i32; 9]>,
}

/// Reads what a stream's parameters say.
pub fn stream_facts(stream: &Stream<'_>) -> StreamFacts {
    // SAFETY: a stream of an open input has parameters for as long as the input lives; the side
    // data is read within its size, byte by byte because its alignment isn't promised.
    unsafe {
        let stream = stream.as_ptr();
        let par = &*(*stream).codecpar;
        let mut size = 0;
        let matrix = sys::av_stream_get_side_data(
            stream,
            sys::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX,
            &mut size,
        );
        let display_matrix =
            (!matrix.is_null() && size >= 36).then(|| ptr::read_unaligned(matrix.cast()));
        StreamFacts {
            width: u32::try_from(par.width).unwrap_or(0),
            height: u32::try_from(par.height).unwrap_or(0),
            format: par.format,
            profile: par.profile,
            level: par.level,
            field_order: par.field_order as u32,
            pixel_aspect: (par.sample_aspect_ratio.num, par.sample_aspect_ratio.den),
            transfer: par.color_trc as u32,
            bit_rate: par.bit_rate,
            sample_rate: u32::try_from(par.sample_rate).unwrap_or(0),
            channels: u32::try_from(par.channels).unwrap_or(0),
            extradata: bytes_of(par.extradata, par.extradata_size),
            display_matrix,
        }
    }
}

/// Returns the picture that a container holds beside its tracks, if this stream is one: a cover,
/// as the file stores it.
pub fn attached_picture(stream: &Stream<'_>) -> Option<Vec<u8>> {
    // SAFETY: a stream of an open input owns its attached packet for as long as the input lives;
    // it's empty where there is none.
    let bytes = unsafe {
        let stream = &*stream.as_ptr();
        if stream.disposition & sys::AV_DISPOSITION_ATTACHED_PIC == 0 {
            return None;
        }
        bytes_of(stream.attached_pic.data, stream.attached_pic.size)
    };
    (!bytes.is_empty()).then_some(bytes)
}

/// Copies `size` bytes from FFmpeg's memory; empty for null.
///
/// # Safety
/// `data` is null or points to `size` readable bytes.
unsafe fn bytes_of(data: *const u8, size: c_int) -> Vec<u8> {
    let size = usize::try_from(size).unwrap_or(0);
    if data.is_null() || size == 0 {
        return Vec::new();
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(data, size) }.to_vec()
}

/// Returns the set-up bytes of parameters.
pub fn extradata(parameters: &Parameters) -> Vec<u8> {
    // SAFETY: `parameters` owns or keeps alive what the pointer names.
    unsafe {
        let par = &*parameters.as_ptr();
        bytes_of(par.extradata, par.extradata_size)
    }
}

/// Returns parameters with other set-up bytes.
///
/// # Errors
/// Only for want of memory.
pub fn with_extradata(parameters: &Parameters, bytes: &[u8]) -> Result<Parameters, FfiError> {
    let mut changed = Parameters::new();
    let padding = sys::AV_INPUT_BUFFER_PADDING_SIZE as usize;
    // SAFETY: both own their parameters; the copy's own set-up bytes are freed before they are
    // replaced by memory of FFmpeg's allocator, which has zeros behind them as decoders demand.
    unsafe {
        check(sys::avcodec_parameters_copy(changed.as_mut_ptr(), parameters.as_ptr()))?;
        let par = &mut *changed.as_mut_ptr();
        sys::av_freep(ptr::from_mut(&mut par.extradata).cast());
        par.extradata_size = 0;
        par.extradata = sys::av_mallocz(bytes.len() + padding).cast();
        if par.extradata.is_null() {
            return Err(out_of_memory());
        }
        ptr::copy_nonoverlapping(bytes.as_ptr(), par.extradata, bytes.len());
        par.extradata_size = bytes.len() as c_int;
    }
    Ok(changed)
}

/// Forgets how many bits a second a track has, where that was worked out from its beginning.
pub fn forget_bit_rate(parameters: &mut Parameters) {
    // SAFETY: the parameters own the plain number.
    unsafe { (*parameters.as_mut_ptr()).bit_rate = 0 };
}

/// Most bytes of a tag that are read.
const TAG_BYTES_MAX: usize = 1024;

/// Reads a tag of a stream. Containers may hold any bytes here: what isn't UTF-8 is replaced.
pub fn stream_tag(stream: &Stream<'_>, key: &str) -> Option<String> {
    // SAFETY: a stream of an open input, whose tags live as long as the input.
    unsafe { tag((*stream.as_ptr()).metadata, key) }
}

/// Reads the title of a chapter, as [`stream_tag`] does.
pub fn chapter_title(chapter: &Chapter<'_>) -> Option<String> {
    // SAFETY: a chapter of an open input, whose tags live as long as the input.
    unsafe { tag((*chapter.as_ptr()).metadata, "title") }
}

/// Reads an entry of a dictionary.
///
/// # Safety
/// `tags` is null or a dictionary that lives for the call.
unsafe fn tag(tags: *const sys::AVDictionary, key: &str) -> Option<String> {
    let key = c_text(key).ok()?;
    // SAFETY: the caller's promise; an entry's value is a text that ends with NUL, copied here.
    unsafe {
        let entry = sys::av_dict_get(tags, key.as_ptr(), ptr::null(), 0).as_ref()?;
        let bytes = CStr::from_ptr(entry.value.cast_const()).to_bytes();
        Some(String::from_utf8_lossy(&bytes[..bytes.len().min(TAG_BYTES_MAX)]).into_owned())
    }
}

/// One line of a container's own index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Decoding time in the stream's time base.
    pub dts: i64,
    /// Decoding can begin here.
    pub key: bool,
    /// Needed for decoding, never shown.
    pub discarded: bool,
    /// How many bytes it has.
    pub bytes: u32,
    /// Where they end in the file.
    pub end: u64,
}

/// Hears what the container's own index says of every packet; nothing if it has none.
pub fn each_index_entry(input: &Input, stream: usize, mut hear: impl FnMut(IndexEntry)) {
    let Some(stream) = input.stream(stream) else { return };
    // SAFETY: the entries belong to the stream, which lives as long as `input`, and are read
    // before anything else can change them; `get_entry` is bounds-checked and may return null.
    unsafe {
        let stream = stream.as_ptr().cast_mut();
        let count = sys::avformat_index_get_entries_count(stream);
        for entry in (0..count).filter_map(|at| sys::avformat_index_get_entry(stream, at).as_ref())
        {
            let end = entry.pos.saturating_add(entry.size().into());
            hear(IndexEntry {
                dts: entry.timestamp,
                key: entry.flags() & sys::AVINDEX_KEYFRAME != 0,
                discarded: entry.flags() & sys::AVINDEX_DISCARD_FRAME != 0,
                bytes: u32::try_from(entry.size()).unwrap_or(0),
                end: u64::try_from(end).unwrap_or(u64::MAX),
            });
        }
    }
}

/// Returns what the container's own index says of every packet; empty if it has none.
pub fn index_entries(input: &Input, stream: usize) -> Vec<IndexEntry> {
    let mut entries = Vec::new();
    each_index_entry(input, stream, |entry| entries.push(entry));
    entries
}

/// Opens a decoder for parameters with options of which none may be ignored.
///
/// # Errors
/// `Missing` without such a decoder; FFmpeg's code if it refuses.
pub fn open_decoder(
    parameters: Parameters,
    time_base: Rational,
    options: &[(&str, String)],
) -> Result<decoder::Opened, FfiError> {
    let found = decoder::find(parameters.id()).ok_or(FfiError::Missing)?;
    let mut context = codec::Context::from_parameters(parameters)?.decoder();
    context.set_packet_time_base(time_base);
    let mut options = Options::new(options)?;
    // SAFETY: the context is owned by `context`, the codec is static inside the library.
    check(unsafe { sys::avcodec_open2(context.as_mut_ptr(), found.as_ptr(), &mut options.0) })?;
    options.all_taken()?;
    Ok(decoder::Opened(context))
}

/// Opens an encoder of pictures with options of which none may be ignored.
///
/// # Errors
/// FFmpeg's code if it refuses; `OptionIgnored`.
pub fn open_video_encoder(
    mut video: encoder::video::Video,
    codec: Codec,
    options: &[(&str, String)],
) -> Result<encoder::video::Encoder, FfiError> {
    let mut options = Options::new(options)?;
    // SAFETY: the context is owned by `video`, the codec is static inside the library.
    check(unsafe { sys::avcodec_open2(video.as_mut_ptr(), codec.as_ptr(), &mut options.0) })?;
    options.all_taken()?;
    Ok(encoder::video::Encoder(video))
}

/// Returns another handle to the same pixels; `Clone` of a frame would copy them.
///
/// # Errors
/// Only for want of memory.
pub fn share(frame: &frame::Video) -> Result<frame::Video, FfiError> {
    let mut shared = frame::Video::empty();
    // SAFETY: both are valid frames; the new one counts a reference of its own.
    check(unsafe { sys::av_frame_ref(shared.as_mut_ptr(), frame.as_ptr()) })?;
    Ok(shared)
}

/// Returns another handle to the same sound. A filter graph takes what it's given for itself, so
/// each one of several needs a handle of its own.
///
/// # Errors
/// Only for want of memory.
pub fn share_sound(frame: &frame::Audio) -> Result<frame::Audio, FfiError> {
    let mut shared = frame::Audio::empty();
    // SAFETY: both are valid frames; the new one counts a reference of its own.
    check(unsafe { sys::av_frame_ref(shared.as_mut_ptr(), frame.as_ptr()) })?;
    Ok(shared)
}

/// Returns the upper field of an interlaced picture as a picture of half the height, without
/// copying pixels. The height has to be a multiple of four, for the sake of the colours' planes.
///
/// # Errors
/// Only for want of memory.
pub fn upper_field(frame: &frame::Video) -> Result<frame::Video, FfiError> {
    let mut field = share(frame)?;
    // SAFETY: the new frame owns its numbers and holds a reference to the planes. Every second of
    // at most `height` rows of each plane, from the first on, lies within them.
    unsafe {
        let frame = &mut *field.as_mut_ptr();
        frame.height /= 2;
        for linesize in &mut frame.linesize {
            *linesize = linesize.saturating_mul(2);
        }
        frame.interlaced_frame = 0;
    }
    Ok(field)
}

/// Sets with how many threads a filter graph works; with one it's the thread that feeds it.
pub fn set_threads(graph: &mut filter::Graph, threads: u32) {
    let threads = i32::try_from(threads.max(1)).unwrap_or(1);
    // SAFETY: a plain number of an owned graph, set before it's configured.
    unsafe { (*graph.as_mut_ptr()).nb_threads = threads }
}

/// Makes an MP4 muxer with one track over `io`; its header is written with `options`.
///
/// # Errors
/// `OptionIgnored`, or FFmpeg's code if it can't carry such a track.
pub fn open_muxer(
    io: StreamIo,
    parameters: &Parameters,
    time_base: Rational,
    options: &[(&str, &str)],
) -> Result<Output, FfiError> {
    let mut output = ffmpeg_next::format::output_to_stream(io, None, Some("mp4"))?;
    let mut options = Options::new(options)?;
    // SAFETY: the context and the stream made here are owned by `output`. Only the codec
    // parameters are copied: no tags, titles or matrices of the source. The tag is cleared
    // because it belongs to the source's container. "bitexact" keeps the library's version out.
    unsafe {
        let context = output.as_mut_ptr();
        (*context).flags |= sys::AVFMT_FLAG_BITEXACT;
        let stream = sys::avformat_new_stream(context, ptr::null());
        if stream.is_null() {
            return Err(out_of_memory());
        }
        check(sys::avcodec_parameters_copy((*stream).codecpar, parameters.as_ptr()))?;
        (*(*stream).codecpar).codec_tag = 0;
        (*stream).time_base = time_base.into();
        check(sys::avformat_write_header(context, &mut options.0))?;
    }
    options.all_taken()?;
    Ok(output)
}

/// Ends the running fragment, so that all its bytes reach the output's writer.
///
/// # Errors
/// FFmpeg's code, among them those of the writer.
pub fn flush_fragment(output: &mut Output) -> Result<(), FfiError> {
    // SAFETY: a null packet is the documented way to flush; `pb` is the output's own writer.
    unsafe {
        check(sys::av_write_frame(output.as_mut_ptr(), ptr::null_mut()))?;
        sys::avio_flush((*output.as_mut_ptr()).pb);
        check((*(*output.as_mut_ptr()).pb).error)?;
    }
    Ok(())
}

/// Formats a library's version number as `major.minor.micro`.
pub fn version_text(version: c_uint) -> String {
    format!("{}.{}.{}", version >> 16, (version >> 8) & 0xff, version & 0xff)
}

/// Returns the long name of a codec id as the libraries know it.
pub fn codec_name(id: codec::Id) -> String {
    // SAFETY: the function returns a static, NUL-terminated text for every number.
    let name = unsafe { CStr::from_ptr(sys::avcodec_get_name(id.into())) };
    name.to_string_lossy().into_owned()
}

/// Says whether the container marks the packet as needed for decoding only, never shown.
pub fn is_discarded(packet: &Packet) -> bool {
    // SAFETY: a packet is a plain struct that the reference keeps alive.
    unsafe { (*packet.as_ptr()).flags & sys::AV_PKT_FLAG_DISCARD != 0 }
}

/// Says whether the container gives the decoder new set-up bytes with the packet.
pub fn brings_new_setup(packet: &Packet) -> bool {
    let kind = sys::AVPacketSideDataType::AV_PKT_DATA_NEW_EXTRADATA;
    // SAFETY: a packet is a plain struct that the reference keeps alive; no size is asked for.
    unsafe { !sys::av_packet_get_side_data(packet.as_ptr(), kind, ptr::null_mut()).is_null() }
}
