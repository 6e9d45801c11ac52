//! FFmpeg's libraries, loaded by the worker child when it begins and by nobody else.
//!
//! Linked in the usual way, the libraries and the 160 that they need would be mapped and relocated
//! in every process of this program: 30 MiB and 0.1 s for a server that never calls them, and code
//! that reads strangers' files within reach of the process that holds everybody's. So each function
//! that is called has a doorstep of its own name here, which jumps to wherever the function was
//! found by [`load`]. As nothing is left for the linker to find in the libraries, it doesn't note
//! them as needed.
//!
//! A function that is called and has no doorstep is linked in the usual way again, and brings its
//! library back; `tests/it/worker.rs` looks into a running server for that.
#![allow(unsafe_code)] // One of the two modules that may; each block says why it holds.

use ffmpeg_next::ffi as sys;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::arch::global_asm;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A library or a function of it can't be had.
#[derive(Debug, thiserror::Error)]
#[error("FFmpeg's {library} can't be loaded: {source}")]
pub struct LoadError {
    library: String,
    source: libloading::Error,
}

/// One library: its name, the version whose headers this program was built with, its functions.
struct Wanted {
    name: &'static str,
    major: i32,
    functions: &'static [(&'static str, &'static AtomicPtr<()>)],
}

/// Makes a doorstep and its pointer for every function, and the table of them all.
macro_rules! doorsteps {
    ($($library:ident $major:ident { $($function:ident)* })*) => {
        mod found {
            $($(
                #[allow(non_upper_case_globals)] // It's named like what it leads to.
                pub(super) static $function: super::AtomicPtr<()> =
                    super::AtomicPtr::new(super::not_loaded as fn() -> ! as *mut ());
            )*)*
        }
        $($( doorstep!($function); )*)*
        const WANTED: &[Wanted] = &[$(
            Wanted {
                name: stringify!($library),
                major: sys::$major,
                functions: &[$( (stringify!($function), &found::$function), )*],
            },
        )*];
    };
}

/// The jump leaves arguments and stack as they are, whatever the function takes.
#[cfg(target_arch = "x86_64")]
macro_rules! jump {
    () => {
        "jmp qword ptr [rip + {0}]"
    };
}

/// As above; the calling convention leaves x16 to whoever stands between caller and function.
#[cfg(target_arch = "aarch64")]
macro_rules! jump {
    () => {
        "adrp x16, {0}\nldr x16, [x16, #:lo12:{0}]\nbr x16"
    };
}

/// The names are hidden from the libraries themselves: what these call among each other is found
/// without a detour.
macro_rules! doorstep {
    ($function:ident) => {
        global_asm!(
            ".pushsection .text",
            concat!(".globl ", stringify!($function)),
            concat!(".hidden ", stringify!($function)),
            concat!(".type ", stringify!($function), ",@function"),
            ".balign 16",
            concat!(stringify!($function), ":"),
            jump!(),
            ".popsection",
            sym found::$function,
        );
    };
}

doorsteps! {
    avutil LIBAVUTIL_VERSION_MAJOR {
        av_dict_count av_dict_free av_dict_get av_dict_set av_frame_alloc av_frame_free
        av_frame_get_buffer av_frame_ref av_frame_unref av_free av_freep
        av_get_bytes_per_sample av_get_channel_layout_nb_channels av_get_default_channel_layout
        av_get_sample_fmt_name
        av_log_set_level av_mallocz av_pix_fmt_desc_get av_reduce av_sample_fmt_is_planar av_strdup
    }
    avcodec LIBAVCODEC_VERSION_MAJOR {
        av_init_packet av_packet_get_side_data av_packet_make_writable av_packet_ref
        av_packet_rescale_ts av_packet_unref
        avcodec_alloc_context3 avcodec_close
        avcodec_find_decoder avcodec_find_encoder_by_name avcodec_flush_buffers
        avcodec_free_context avcodec_get_name
        avcodec_open2 avcodec_parameters_alloc avcodec_parameters_copy avcodec_parameters_free
        avcodec_parameters_from_context avcodec_parameters_to_context avcodec_receive_frame
        avcodec_receive_packet avcodec_send_frame avcodec_send_packet avcodec_version
    }
    avformat LIBAVFORMAT_VERSION_MAJOR {
        av_find_input_format av_read_frame av_seek_frame av_stream_get_side_data av_write_frame
        avformat_alloc_context avformat_alloc_output_context2 avformat_close_input
        avformat_find_stream_info avformat_free_context avformat_index_get_entries_count
        avformat_index_get_entry avformat_new_stream avformat_open_input avformat_seek_file
        avformat_version avformat_write_header avio_alloc_context avio_close avio_context_free
        avio_flush
    }
    avfilter LIBAVFILTER_VERSION_MAJOR {
        av_buffersink_get_frame av_buffersink_get_time_base av_buffersink_set_frame_size
        av_buffersrc_add_frame avfilter_get_by_name avfilter_graph_alloc avfilter_graph_config
        avfilter_graph_create_filter avfilter_graph_free avfilter_graph_get_filter
        avfilter_graph_parse_ptr avfilter_inout_alloc avfilter_inout_free avfilter_version
    }
    swscale LIBSWSCALE_VERSION_MAJOR {
        swscale_version
    }
}

/// What is called before the libraries are there: a mistake in this program, which must not go on.
fn not_loaded() -> ! {
    eprintln!("a function of FFmpeg was called in a process that hasn't loaded it");
    std::process::abort()
}

/// Loads the libraries and finds every function; they stay for as long as the process lives.
///
/// # Errors
/// Which library is missing or has another version than this program was built for.
pub(super) fn load() -> Result<(), LoadError> {
    for wanted in WANTED {
        let file = format!("lib{}.so.{}", wanted.name, wanted.major);
        let failed = |source| LoadError { library: file.clone(), source };
        // SAFETY: FFmpeg's libraries do nothing when they are loaded, and they are those that
        // every program of this machine would be given.
        let library = unsafe { Library::open(Some(&file), RTLD_NOW | RTLD_LOCAL) };
        let library = library.map_err(failed)?;
        for (name, found) in wanted.functions {
            // SAFETY: nothing is called here. Whoever calls does it by the header's declaration,
            // and the number behind the library's name stands for just that declaration.
            let function = unsafe { library.get::<*mut ()>(name.as_bytes()) }.map_err(failed)?;
            found.store(*function, Ordering::Release);
        }
        // Closing it would leave the pointers astray.
        std::mem::forget(library);
    }
    Ok(())
}
